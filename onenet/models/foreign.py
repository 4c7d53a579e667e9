"""Anyone's own network: from a module, a factory or a reference to one (``sources``) to a ``Model`` with its signature."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor, nn

from onenet.base.text import first_line
from onenet.errors import OneNetError, RequestError
from onenet.model import Model
from onenet.models.checkpoint import state_sha256
from onenet.models.endings import recorded, signature_of
from onenet.models.facts import OPTIONS, Facts
from onenet.models.fitting import load_weights
from onenet.models.prepare import Chosen, output_place, refuse_other, with_facts
from onenet.models.programs import Program
from onenet.models.resolve import Asked, asked_of_library, find_source, with_file
from onenet.models.returns import Place, flat, is_flat, left_out, tensors_of, with_own_names
from onenet.models.sources import OWN, Found
from onenet.spec import ClassSpec, Layout, ModelSpec, Role, TensorSpec, numbered_classes
from onenet.tasks import TASKS

INPUT_SIZE = (256, 256)
"""Height and width when nothing else says so: the paper's mask resolution (section 4)."""


def build_foreign(model: str | nn.Module | Callable[[], object], asked: Asked) -> Model:
    """A model from anybody's module, factory or reference, with its signature.

    Raises:
        RequestError: it cannot be found, made or run, or what is said of it contradicts it.
    """
    source: Found | None = None
    if isinstance(model, str):
        model, asked = with_file(model, asked)
        source = find_source(model, asked_of_library(asked))
        model = source.make
    facts, seed = asked.facts, asked.seed
    if facts.ema and not asked.weights:
        raise RequestError("--ema chooses among the weights of a checkpoint; give --weights FILE as well")
    module, spec, name = make_foreign(model)
    name = (source and source.name) or name
    notes: tuple[str, ...] = ()
    drawn = ""
    if asked.weights:
        notes = load_weights(module, asked.weights, facts.ema)
    elif seed is not None:
        module = initialised(module, name, seed)
    elif source is not None and source.held == OWN:
        drawn = drawn_part(module, source.make)
    module.eval()
    held = "random" if seed is not None else asked.weights.name if asked.weights else source.held if source else OWN
    told = {"model": name, "weights": held, **({"drawn": drawn} if drawn else {}), **provenance(module)}
    said = dataclasses.replace(facts, input_size=None)  # the signature has that
    if said:
        told["facts"] = said.as_dict()
    if spec is not None:
        return with_facts(of_spec(module, spec, facts, told, seed is not None), without_shape(facts))
    known = source.known if source else Facts()
    return of_image(module, name, facts, known, told, notes)


def drawn_part(module: nn.Module, make: Callable[[], object]) -> str:
    """Which of a factory's weights are drawn at random: another call gives others. Empty where none are."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch.initial_seed() + 1)
        try:
            other, _, name = make_foreign(make)
        except RequestError:
            return ""  # it can be called only once, and nothing is known
    first, second = module.state_dict(), other.state_dict()
    if first.keys() != second.keys():
        return f"all: every call of {name}() gives another network"
    drawn = [key for key, value in first.items() if not torch.equal(value, second[key])]
    if not drawn:
        return ""
    names = ", ".join(drawn[:2]) + (", ..." if drawn[2:] else "")
    return f"{len(drawn)} of {len(first)} tensors ({names})"


def of_spec(module: nn.Module, spec: ModelSpec, facts: Facts, told: Mapping[str, object], random: bool) -> Model:
    """A model whose factory brought its signature.

    Raises:
        RequestError: the module does something else, or facts contradict the signature.
    """
    if facts.output_key is not None or facts.resize_output:
        raise RequestError(
            f"--output-key and --resize-output are for networks without a ModelSpec; that of {spec.name} names its outputs"
        )
    image = spec.inputs[0]
    height_width = image.shape[-2:] if image.layout == "NCHW" else None
    for what, own, given in (
        ("--input-size", height_width, facts.input_size),
        ("--channels", image.shape[1] if height_width else None, facts.channels),
        ("--batch", image.shape[0] if image.shape else None, facts.batch),
        ("--input-name", image.name, facts.input_name),
    ):
        refuse_other(spec, what, own, given)
    found = run_once(module, spec.name, spec.inputs)
    check_signature(found.tensors, spec)
    own_told = {key: value for key, value in told.items() if key not in ("model", "weights") or (random and key == "weights")}
    spec = dataclasses.replace(spec, source={**spec.source, **own_told})
    return Model(spec, found.module, notes=found.notes)


def without_shape(facts: Facts) -> Facts:
    """What is left to apply where the signature's shape was compared already."""
    return dataclasses.replace(facts, input_size=None, channels=None, batch=None, input_name=None)


def of_image(
    module: nn.Module, name: str, facts: Facts, known: Facts, told: Mapping[str, object], notes: tuple[str, ...]
) -> Model:
    """A model of one image without a signature of its own.

    Args:
        module: the network.
        name: for files.
        facts: what is said of it.
        known: what its library says, which holds where nothing else is said.
        told: the source of its signature.
        notes: for the user.

    Raises:
        RequestError: it does not run on such an image, or facts contradict what it returns.
    """
    fixed = shape_of(module, name)
    facts = facts.joined(fixed, OPTIONS, f"the saved program {name}")
    size = facts.input_size or known.input_size or INPUT_SIZE
    image = image_of(facts.channels or channels_in(module, size), size, facts.batch or 1, facts.input_name or "image")
    if facts.output_key is not None or known.output_key is not None:
        module = choose_output(module, image, facts.output_key, known.output_key, name)
    model = finish(module, name, image, told, None)
    model = dataclasses.replace(model, notes=(*notes, *model.notes))
    return with_facts(model, completed(facts, known, len(model.spec.classes)))


def completed(facts: Facts, known: Facts, classes: int) -> Facts:
    """What is said of a network, and where nothing is said, what its library knows."""
    mean, std = (facts.mean, facts.std) if facts.normalised else (known.mean, known.std)
    names = known.class_names if facts.class_names is None and len(known.class_names or ()) == classes else facts.class_names
    return dataclasses.replace(facts, class_names=names, mean=mean, std=std)


def shape_of(module: nn.Module, name: str) -> Facts:
    """The shape that a saved program is for; nothing of any other module.

    Raises:
        RequestError: it takes anything but one image.
    """
    if not isinstance(module, Program):
        return Facts()
    if len(module.shapes) != 1 or len(module.shapes[0]) != 4:
        takes = " and ".join(map(str, module.shapes))
        raise RequestError(f"the saved program {name} takes {takes}; bring one that takes an image (N, C, H, W), or its code")
    batch, channels, height, width = (size if isinstance(size, int) else None for size in module.shapes[0])
    return Facts(batch=batch, channels=channels, input_size=(height, width) if height and width else None)


def choose_output(module: nn.Module, image: TensorSpec, asked: str | None, usual: str | None, name: str) -> nn.Module:
    """The network with one of its outputs.

    Args:
        module: the network.
        image: what it takes.
        asked: the output that the user names.
        usual: the one that is taken where nobody names one and there is one of that name.
        name: of the network, for messages.

    Raises:
        RequestError: it has none of the name that the user gave.
    """
    found = run_once(module, name, (image,))
    places = list(found.tensors)
    index = output_place(places, asked or usual or "")
    if index is not None:
        return Chosen(found.module, index).eval()
    if asked is None:
        return module
    known = ", ".join(".".join(place) for place in places if place) or "one tensor without a name"
    raise RequestError(f"--output-key {asked} is no output of {name}; it returns {known}")


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
    except OneNetError:
        raise
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


def image_of(channels: int, size: tuple[int, int], batch: int = 1, name: str = "image") -> TensorSpec:
    """The one input of a network that says nothing of its inputs."""
    return TensorSpec(name, "image", (batch, channels, *size), "NCHW", value_range=(0.0, 1.0))


def provenance(module: nn.Module) -> dict[str, object]:
    """SHA-256 of a module's weights, and the number of its parameters."""
    return {"weights_sha256": state_sha256(module), "parameters": sum(p.numel() for p in module.parameters())}


def finish(
    module: nn.Module,
    name: str,
    image: TensorSpec,
    source: Mapping[str, object],
    classes: tuple[ClassSpec, ...] | None,
) -> Model:
    """A one-image model with its signature read off one run on zeros."""
    found, calls = recorded(lambda: run_once(module.eval(), name, (image,)))
    task, outputs, count, doubt = signature_of(found.tensors.values(), found.inputs[0], calls)
    if classes is None:
        classes = numbered_classes(count)
    outputs = with_own_names(outputs, tuple(found.tensors), [image.name])
    spec = ModelSpec(name, task.name, (image,), outputs, classes, source={**provenance(module), **source})
    return Model(spec, found.module, notes=found.notes, doubt=doubt and f"{name}: {doubt}")
