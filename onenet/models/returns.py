"""What a network returns, as a list of named tensors: dictionaries, nested tuples, named tuples and data classes are unpacked.

A key or a field is the output's name; places in a list are counted. What is None is left out.
"""

from __future__ import annotations

import copy
import dataclasses
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from torch import Tensor, nn

from onenet.errors import RequestError
from onenet.spec import TensorSpec

Place = tuple[str, ...]
"""Keys, fields and places that lead to one part of a result."""


FIELDS = "__dataclass_fields__"
"""The attribute of a data class, and of its instances, that holds its fields by name."""


def parts_of(result: object, path: Place = ()) -> Iterator[tuple[Place, object]]:
    """Everything in a result that holds no parts itself, and where it stands."""
    for key, part in entries(result):
        yield from parts_of(part, (*path, key))
    if not is_structure(result):
        yield path, result


def is_structure(value: object) -> bool:
    """Whether a value holds others: a dictionary, list, tuple or data class."""
    return isinstance(value, (Mapping, list, tuple)) or (hasattr(value, FIELDS) and not isinstance(value, type))


def entries(value: object) -> Iterable[tuple[str, object]]:
    """The parts of a value, with their keys, fields or places; none of a value without parts."""
    if isinstance(value, Mapping):
        return [(str(key), part) for key, part in value.items()]
    if isinstance(value, (list, tuple)):
        return list(zip(getattr(value, "_fields", map(str, range(len(value)))), value, strict=True))
    return [(name, getattr(value, name)) for name in getattr(value, FIELDS)] if is_structure(value) else []


def tensors_of(result: object, name: str) -> dict[Place, Tensor]:
    """The tensors of a result, by where they stand.

    Raises:
        RequestError: there is none, or something is neither a tensor nor None.
    """
    parts = dict(parts_of(result))
    odd = next((part for part in parts.values() if not isinstance(part, (Tensor, type(None)))), None)
    tensors = {path: part for path, part in parts.items() if isinstance(part, Tensor)}
    if odd is not None or not tensors:
        found = "no tensor" if odd is None else type(odd).__name__ if odd is result else f"{type(odd).__name__} among others"
        raise RequestError(
            f"{name} returns {found}; it may return tensors, and lists, tuples, dictionaries or data classes of them"
        )
    return tensors


def is_flat(result: object) -> bool:
    """Whether a result is a tensor, or a plain list or tuple of nothing but tensors."""
    values = result if isinstance(result, (list, tuple)) and type(result) in (list, tuple) else [result]
    return all(isinstance(each, Tensor) for each in values)


def left_out(result: object) -> list[str]:
    """Names of the parts of a result that are None."""
    return [name_of(path) for path, part in parts_of(result) if part is None]


def name_of(path: Place) -> str:
    """``aux`` of a key, ``output_1`` of a place, ``features_0`` of both; a name that every target takes."""
    text = re.sub(r"\W+", "_", "_".join(path), flags=re.ASCII)
    return text if text[:1].isalpha() else f"output_{text.strip('_')}"


def with_own_names(outputs: Sequence[TensorSpec], paths: Sequence[Place], taken: Iterable[str]) -> tuple[TensorSpec, ...]:
    """Outputs under the keys and fields that the network has for them; those of mere places keep the names that they have.

    Args:
        outputs: as a task names them.
        paths: where each stands in the result.
        taken: names of the inputs, which an output cannot have too.
    """
    used, named = set(taken), []
    for spec, path in zip(outputs, paths, strict=True):
        own = name_of(path) if any(not key.isdigit() for key in path) or len(path) > 1 else spec.name
        name = own
        count = 1
        while name in used:
            name, count = f"{own}_{count}", count + 1
        used.add(name)
        named.append(dataclasses.replace(spec, name=name))
    return tuple(named)


def flat(module: nn.Module) -> nn.Module:
    """The same module, with the same parts and weights, that returns a tuple of tensors."""
    twin = copy.copy(module)
    twin.__dict__["_forward_hooks"] = OrderedDict(module._forward_hooks)  # a copy shares the original's
    name = type(module).__name__
    twin.register_forward_hook(lambda _module, _inputs, result: tuple(tensors_of(result, name).values()))
    return twin
