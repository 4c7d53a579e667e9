"""What is known of a network, applied to it: it takes RGB in [0, 1], and its classes have names.

What changes values stands around the network as modules, which lowering folds into it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from onenet.errors import RequestError
from onenet.model import Model
from onenet.models.endings import Call, Seen, recorded
from onenet.models.facts import Facts, shown
from onenet.models.returns import Place, name_of
from onenet.spec import INSIDE, ClassSpec, ModelSpec, numbered_classes
from onenet.tasks import task_of

CONVOLUTION = torch.ops.aten.convolution.default


class Normalised(nn.Module):
    """(x - mean) / std in front of a network. Lowering folds it into the first convolution."""

    mean: Tensor
    std: Tensor

    def __init__(self, module: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.module = module
        self.register_buffer("mean", torch.tensor(mean).reshape(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).reshape(1, -1, 1, 1))
        self.shifts, self.scales = any(mean), set(std) != {1.0}

    def forward(self, image: Tensor) -> object:
        """(N, C, H, W) in [0, 1] -> what the network returns."""
        if self.shifts:
            image = image - self.mean
        if self.scales:
            image = image / self.std
        return self.module(image)


class Reversed(nn.Module):
    """The channels in the other order, in front of a network that does more with them than a convolution."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, image: Tensor) -> object:
        """RGB (N, 3, H, W) -> what the network returns for BGR."""
        return self.module(torch.cat([image[:, 2:3], image[:, 1:2], image[:, 0:1]], 1))


class Chosen(nn.Module):
    """One of a network's outputs."""

    def __init__(self, module: nn.Module, index: int) -> None:
        super().__init__()
        self.module, self.index = module, index

    def forward(self, *inputs: Tensor) -> Tensor:
        """The network's inputs -> the output."""
        results = self.module(*inputs)
        chosen: Tensor = results[self.index] if isinstance(results, (list, tuple)) else results
        return chosen


class Enlarged(nn.Module):
    """An output at the size of the image, bilinear between pixel centres."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, H, W) -> the network's output at H and W."""
        return functional.interpolate(self.module(image), image.shape[-2:], mode="bilinear", align_corners=False)


# --- pixels -----------------------------------------------------------------


def prepared(module: nn.Module, facts: Facts, shape: tuple[int, ...], name: str) -> nn.Module:
    """A network that takes RGB in [0, 1] where it was trained on something else.

    Args:
        module: takes one image (N, C, H, W).
        facts: its mean, std and order of channels; the same module comes back where they say nothing.
        shape: of the image.
        name: of the network, for messages.

    Raises:
        RequestError: as many numbers as it has no channels, or BGR of other than three.
    """
    channels = shape[1]
    if facts.bgr and channels != 3:
        raise RequestError(f"--bgr is for images of three channels; {name} takes {channels}")
    mean, std = (spread(values, channels, what, name) for what, values in (("mean", facts.mean), ("std", facts.std)))
    if facts.bgr:
        module, mean, std = reversed_channels(module, shape), mean[::-1], std[::-1]
    return Normalised(module, mean, std) if any(mean) or set(std) != {1.0} else module


def spread(values: tuple[float, ...] | None, channels: int, what: str, name: str) -> tuple[float, ...]:
    """One number for each channel."""
    values = values if values is not None else (0.0,) if what == "mean" else (1.0,)
    if len(values) not in (1, channels):
        raise RequestError(
            f"--{what} has {len(values)} numbers, {shown(values)}; {name} takes {channels} channels: give 1 or {channels}"
        )
    return values if len(values) == channels else values * channels


def reversed_channels(module: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """The same network for channels in the other order: its first convolutions' weights turned, where nothing else takes the
    image; else with the order turned in front of it."""
    image = torch.zeros(shape)
    with torch.no_grad():
        _, calls = recorded(lambda: module.eval()(image))
    weights = first_weights(calls, image)
    owners = {id(value): name for name, value in module.named_parameters(remove_duplicate=False)}
    if not weights or not all(number in owners for number in weights):
        return Reversed(module)
    twin = copy.deepcopy(module)
    parameters = dict(twin.named_parameters(remove_duplicate=False))
    with torch.no_grad():
        for number in weights:
            weight = parameters[owners[number]]
            weight.copy_(weight.flip(1))
    return twin


def first_weights(calls: Sequence[Call], image: Tensor) -> set[int]:
    """Numbers of the weights of all convolutions that take an image; none where something else takes it, or one in groups, or
    their weights serve elsewhere too."""
    seen = Seen.of(image)
    takers = [call for call in calls if seen in call.taken]
    plain = [call for call in takers if call.operator is CONVOLUTION and call.taken[0] == seen and call.taken[8] == 1]
    weights = [call.taken[1] for call in plain if not call.taken[6]]  # 6: whether it is transposed, 8: groups
    readers = [call for call in calls if any(weight in call.taken for weight in weights)]
    if len(weights) < len(takers) or len(readers) > len(takers):
        return set()
    return {weight.number for weight in weights if isinstance(weight, Seen)}


# --- outputs ----------------------------------------------------------------


def output_place(places: Sequence[Place], key: str) -> int | None:
    """Which of a network's outputs ``--output-key`` names: ``out``, ``1``, ``aux.0``, or its name when all are exported."""
    names = [(".".join(place), name_of(place)) for place in places]
    return next((k for k, (place, both) in enumerate(zip(places, names, strict=True)) if place and key in both), None)


# --- a model ----------------------------------------------------------------


def with_facts(model: Model, facts: Facts) -> Model:
    """A model as its facts say it is: pixels, size of the output, classes, threshold and ignored index.

    Shape and name of its image, and which output it has, are facts of how it was built, and not looked at here.

    Raises:
        RequestError: a fact contradicts the model's signature, or says something that it does not have.
    """
    spec, module = model.spec, model.module
    if facts.normalised:
        check_pixels(spec)
        module = prepared(module, facts, spec.inputs[0].shape, spec.name)
        text = normalisation_text(facts)
        spec = replace(spec, normalisation=text, source={**spec.source, "normalisation": text})
    if facts.resize_output:
        module, spec = enlarged(module, spec)
    spec = with_threshold(with_classes(spec, facts), facts)
    if facts.ignore_index is not None:
        refuse_other(spec, "--ignore-index", spec.ignore_index, facts.ignore_index)
        spec = replace(spec, ignore_index=facts.ignore_index)
    return replace(model, spec=spec, module=module)


def check_pixels(spec: ModelSpec) -> None:
    """
    Raises:
        RequestError: the network takes anything but one image, or its signature says how its pixels are normalised.
    """
    image = spec.inputs[0]
    if len(spec.inputs) > 1 or image.role != "image" or image.layout != "NCHW":
        raise RequestError(f"--mean, --std and --bgr are for networks of one image; {spec.name} takes {inputs_text(spec)}")
    if spec.normalisation != INSIDE:
        raise RequestError(
            f"--mean, --std and --bgr contradict the ModelSpec of {spec.name}, whose pixels are normalised: "
            f"{spec.normalisation}; say it in one place"
        )


def inputs_text(spec: ModelSpec) -> str:
    """``image (1, 3, 8, 8) and step (1,)``."""
    return " and ".join(f"{each.name} {each.shape}" for each in spec.inputs)


def normalisation_text(facts: Facts) -> str:
    """What a manifest says of pixels, for people."""
    order = "BGR" if facts.bgr else "RGB"
    mean, std = (shown(tuple(float(f"{x:.6g}") for x in each)) for each in (facts.mean or (0.0,), facts.std or (1.0,)))
    return f"{INSIDE}; trained on {order} with mean {mean} and std {std}"


def enlarged(module: nn.Module, spec: ModelSpec) -> tuple[nn.Module, ModelSpec]:
    """The network with its output at the size of its image.

    Raises:
        RequestError: it has several outputs, or that size already, or is none that can be resized.
    """
    output, size = spec.outputs[0], spec.inputs[0].shape[-2:]
    if len(spec.outputs) > 1 or output.layout != "NCHW" or output.dtype != "float32" or output.shape[-2:] == size:
        raise RequestError(
            f"--resize-output enlarges one output to the image's {size[0]}x{size[1]}; {spec.name} gives "
            f"{', '.join(f'{each.role} {each.shape}' for each in spec.outputs)}; leave it out"
        )
    output = replace(output, shape=(*output.shape[:2], *size))
    return Enlarged(module).eval(), replace(spec, outputs=(output,))


def with_classes(spec: ModelSpec, facts: Facts) -> ModelSpec:
    """The signature with names and colours of classes.

    Raises:
        RequestError: as many as it has no classes, or others than its own.
    """
    names, colours = facts.class_names, facts.palette
    if names is None and colours is None:
        return spec
    count, output = len(spec.classes), spec.outputs[0]
    if not count and output.role == "labels":
        count = len(names or colours or ())
    if not count:
        raise RequestError(
            f"names or colours of classes were given; {spec.name} gives {output.role} {output.shape}, which has none: "
            "--output-key chooses one of several outputs"
        )
    if names is not None and count == 2 and len(names) == 1:
        names = ("background", *names)
    if names is not None and len(names) != count:
        raise RequestError(
            f"{len(names)} class names were given ({shown(names[:4])}{', ...' if names[4:] else ''}); {spec.name} has {count} "
            "classes"
        )
    if colours is not None and len(colours) < count:
        raise RequestError(f"the palette has {len(colours)} colours; {spec.name} has {count} classes")
    own = spec.classes or numbered_classes(count)
    if own != numbered_classes(count):
        for what, given, found in (
            ("--class-names", names, [c.name for c in own]),
            ("--palette", colours, [c.colour for c in own]),
        ):
            refuse_other(spec, what, tuple(found), given and tuple(given[:count]))
    classes = tuple(
        ClassSpec(names[k] if names else each.name, colours[k] if colours else each.colour) for k, each in enumerate(own)
    )
    return replace(spec, classes=classes)


def with_threshold(spec: ModelSpec, facts: Facts) -> ModelSpec:
    """The signature with the probability from which a pixel is the class; 0.5 of any network with one output channel.

    Raises:
        RequestError: it has no such output, or says another one itself.
    """
    binary = task_of(spec.task).is_binary(spec.outputs[0])
    if facts.threshold is not None and not binary:
        raise RequestError(
            f"--threshold {facts.threshold:g} is for networks of one class, with one output channel; {spec.name} gives "
            f"{spec.outputs[0].role} {spec.outputs[0].shape}"
        )
    refuse_other(spec, "--threshold", spec.threshold, facts.threshold)
    return replace(spec, threshold=facts.threshold or spec.threshold or (0.5 if binary else None))


def refuse_other(spec: ModelSpec, what: str, own: object, given: object) -> None:
    """
    Raises:
        RequestError: both are known, and differ.
    """
    if own is not None and given is not None and own != given:
        raise RequestError(f"{what} is {shown(given)}, the ModelSpec of {spec.name} says {shown(own)}; say it in one place")
