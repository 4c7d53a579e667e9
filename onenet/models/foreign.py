"""Anyone's own network: from a module, a factory or ``path/to/file.py:factory`` to a ``Model`` with its signature."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import importlib.util
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor, nn

from onenet.base.text import first_line
from onenet.errors import RequestError
from onenet.model import Model
from onenet.models.checkpoint import load_into, read_state, state_sha256
from onenet.models.endings import recorded, signature_of
from onenet.models.returns import Place, flat, is_flat, left_out, tensors_of, with_own_names
from onenet.spec import ClassSpec, Layout, ModelSpec, Role, TensorSpec, numbered_classes
from onenet.tasks import TASKS


def is_file_reference(model: str) -> bool:
    """Whether a model's name is ``path/to/file.py:factory``."""
    return ".py:" in model or model.endswith(".py")


def load_factory(reference: str) -> Callable[[], object]:
    """The callable behind ``path/to/file.py:factory``. Runs that file's code, as importing it would.

    Raises:
        RequestError: no such file or name, or the file fails to import.
    """
    file, _, name = reference.rpartition(":")
    if not file or not name.isidentifier():
        raise RequestError(f"model {reference!r} names no factory; write path/to/file.py:factory")
    path = Path(file)
    if not path.is_file():
        raise RequestError(f"model file {file} does not exist")
    spec = importlib.util.spec_from_file_location(f"onenet_model_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise RequestError(f"model file {file} is no Python file; write path/to/file.py:factory")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever the user's file raises
        raise RequestError(f"model file {file} fails to import: {type(error).__name__}: {first_line(error)}") from error
    factory = getattr(module, name, None)
    if not callable(factory):
        public = [n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == spec.name]
        raise RequestError(f"{file} has no callable {name!r}; found: {', '.join(public) or 'none'}")
    return factory  # type: ignore[no-any-return]  # a user's callable


def build_foreign(
    model: str | nn.Module | Callable[[], object],
    weights: Path | str | None,
    size: tuple[int, int],
    seed: int | None = None,
) -> Model:
    """A model from anybody's module or factory, with its signature; with a seed, initialised anew."""
    module, spec, name = make_foreign(load_factory(model) if isinstance(model, str) else model)
    if weights:
        load_into(module, read_state(Path(weights)), f"weights {Path(weights).name}")
    if seed is not None:
        module = initialised(module, name, seed)
    module.eval()
    held = "random" if seed is not None else Path(weights).name if weights else "from the factory"
    if spec is not None:
        found = run_once(module, spec.name, spec.inputs)
        check_signature(found.tensors, spec)
        random = {"weights": held} if seed is not None else {}
        spec = dataclasses.replace(spec, source={**spec.source, **random, **provenance(module)})
        return Model(spec, found.module, notes=found.notes)
    return finish(module, name, size, channels_in(module, size), {"model": name, "weights": held}, None)


def initialised(module: nn.Module, name: str, seed: int) -> nn.Module:
    """A copy of a module with the weights that its layers draw when they are made.

    Raises:
        RequestError: a parameter belongs to no layer that can draw it.
    """
    module = copy.deepcopy(module)
    layers = {prefix: each for prefix, each in module.named_modules() if callable(getattr(each, "reset_parameters", None))}
    drawn = {id(value) for layer in layers.values() for value in layer.parameters(recurse=False)}
    fixed = [key for key, value in module.named_parameters() if id(value) not in drawn]
    if fixed:
        raise RequestError(
            f"random weights were asked for; {name} has {len(fixed)} parameters that no layer draws ({', '.join(fixed[:3])}): "
            "let the factory draw them, and leave --random-weights out"
        )
    torch.manual_seed(seed)
    for layer in layers.values():
        layer.reset_parameters()
    return module


def make_foreign(factory: nn.Module | Callable[[], object]) -> tuple[nn.Module, ModelSpec | None, str]:
    """The module, its signature if the factory brings one, and a name that a file can have."""
    if isinstance(factory, nn.Module):
        return factory, None, type(factory).__name__
    name = getattr(factory, "__name__", "")
    name = name if name.isidentifier() else "model"  # a lambda, or an object that can be called
    try:
        made = factory()
    except (Exception, SystemExit) as error:  # whatever the user's factory raises
        raise RequestError(f"factory {name}() failed: {type(error).__name__}: {first_line(error)}") from error
    module, spec = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(module, nn.Module) or not isinstance(spec, (ModelSpec, type(None))):
        found = ", ".join(type(each).__name__ for each in made) if isinstance(made, tuple) else type(made).__name__
        raise RequestError(f"factory {name}() returned {found}; an nn.Module, or one and a ModelSpec, is needed")
    return module, spec, name


def check_signature(results: Mapping[Place, Tensor], spec: ModelSpec) -> None:
    """Compare what a module returned with the signature that came with it.

    Raises:
        RequestError: they differ, or the signature has a task, role or layout of none, or a name that cannot be a file's.
    """
    if not re.fullmatch(r"\w[\w.-]*", spec.name):
        raise RequestError(f"model name {spec.name!r} cannot be a file's: use letters, digits, '.', '_' and '-'")
    TASKS.get(spec.task, "task")
    for tensor in (*spec.inputs, *spec.outputs):
        for kind, value, known in (("role", tensor.role, get_args(Role)), ("layout", tensor.layout, get_args(Layout))):
            if value not in known:
                raise RequestError(f"{tensor.name} of {spec.name} has the {kind} {value!r}; choose from {', '.join(known)}")
    found = described(results.values())
    expected = [(t.shape, t.dtype) for t in spec.outputs]
    if found != expected:
        raise RequestError(f"{spec.name} returns {found}, its ModelSpec says {expected}; make them agree")


def described(results: Iterable[Tensor]) -> list[tuple[tuple[int, ...], str]]:
    """Shape and type of each tensor."""
    return [(tuple(each.shape), str(each.dtype).removeprefix("torch.")) for each in results]


@dataclass(frozen=True)
class Run:
    """A module that runs on its inputs and returns tensors, and what it returned."""

    module: nn.Module
    """As it was given; or a float32 copy, or one that returns a tuple of tensors, where it takes that."""
    tensors: dict[Place, Tensor]
    """By where they stand in what the module as it was given returns."""
    inputs: tuple[Tensor, ...]
    """The zeros that it was given."""
    notes: tuple[str, ...] = ()
    """What was changed, for the user."""


def run_once(module: nn.Module, name: str, inputs: tuple[TensorSpec, ...]) -> Run:
    """A module's outputs on zeros.

    Raises:
        RequestError: the module does not run on these shapes, or returns anything but tensors.
    """
    notes = []
    try:
        zeros = [torch.zeros(t.shape, dtype=getattr(torch, t.dtype)) for t in inputs]
        with torch.no_grad():
            if needs_float32(module, zeros):
                notes.append(f"{name} is {own_type(module)} and does not take float32; it is built in float32")
                module = copy.deepcopy(module).float()
            result = module(*zeros)
    except Exception as error:  # a user's network may raise anything for a size it cannot take
        shapes = " and ".join(str(t.shape) for t in inputs)
        raise RequestError(f"{name} does not run on {shapes}: {first_line(error)}; try another --input-size") from error
    tensors, missing = tensors_of(result, name), left_out(result)
    if missing:
        notes.append(f"{name} returns None for {', '.join(missing)}; left out")
    return Run(module if is_flat(result) else flat(module), tensors, tuple(zeros), tuple(notes))


def own_type(module: nn.Module) -> str:
    """The floating type of all of a module's weights; empty where there are several, or none."""
    kinds = {str(each.dtype).removeprefix("torch.") for each in module.state_dict().values() if each.is_floating_point()}
    return kinds.pop() if len(kinds) == 1 else ""


def needs_float32(module: nn.Module, inputs: Sequence[Tensor]) -> bool:
    """Whether a module of another floating type refuses float32 inputs, and takes those of its own type."""
    kind = own_type(module)
    if kind in ("", "float32") or any(each.dtype != torch.float32 for each in inputs):
        return False
    own = [each.to(getattr(torch, kind)) for each in inputs]
    return not runs(module, inputs) and runs(module, own)


def runs(module: nn.Module, inputs: Sequence[Tensor]) -> bool:
    """Whether a module takes these inputs."""
    try:
        module(*inputs)
    except Exception:  # anything that a user's network raises
        return False
    return True


def channels_in(module: nn.Module, size: tuple[int, int]) -> int:
    """3 where the module runs on it, else the input channels of the first of its convolutions that it runs on, else 3."""
    found = [m.in_channels for m in module.modules() if isinstance(m, nn.Conv2d)]
    for channels in dict.fromkeys((3, *found)):
        with contextlib.suppress(RequestError):
            run_once(module, "", (image_of(channels, size),))
            return channels
    return 3


def image_of(channels: int, size: tuple[int, int]) -> TensorSpec:
    """The one input of a network that says nothing of its inputs."""
    return TensorSpec("image", "image", (1, channels, *size), "NCHW", value_range=(0.0, 1.0))


def provenance(module: nn.Module) -> dict[str, object]:
    """SHA-256 of a module's weights, and the number of its parameters."""
    return {"weights_sha256": state_sha256(module), "parameters": sum(p.numel() for p in module.parameters())}


def finish(
    module: nn.Module,
    name: str,
    size: tuple[int, int],
    channels: int,
    source: Mapping[str, object],
    classes: tuple[ClassSpec, ...] | None,
) -> Model:
    """A one-image model with its signature read off one run on zeros."""
    image = image_of(channels, size)
    found, calls = recorded(lambda: run_once(module.eval(), name, (image,)))
    task, outputs, count, doubt = signature_of(found.tensors.values(), found.inputs[0], calls)
    if classes is None:
        classes = numbered_classes(count)
    outputs = with_own_names(outputs, tuple(found.tensors), [image.name])
    spec = ModelSpec(name, task.name, (image,), outputs, classes, source={**source, **provenance(module)})
    return Model(spec, found.module, notes=found.notes, doubt=doubt and f"{name}: {doubt}")
