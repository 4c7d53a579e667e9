"""Does an image run through this network in tiles with the result of the whole image, and in which?

Found on the network at hand, not by its class. Where a patch of the input is NaN, so is every output that depends on it:
convolutions, sums and activations hand NaN on. That gives the halo, or shows that there is none; float32 shows it as well as
float64, ten times as fast. The patch is the smallest shift of the image that shifts the output alike, in float64. Then the
proof: an asymmetric image in tiles of the smallest size equals the whole, to 1e-9 of the largest value in float64, or no tiles
are claimed.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from onenet.base.text import first_line
from onenet.base.tiles import Tiling, check_tile, make_grid, run_tiled
from onenet.errors import CheckError, RequestError
from onenet.lowering.double import in_float64
from onenet.model import Model
from onenet.models.output import WithOutput

TOLERANCE = 1e-9
"""Difference allowed in float64, relative to the range of the values. Rounding gives 1e-15 to 1e-12."""
ROUGH = 1e-2
"""The same in float32, for a first look: what differs more is not looked at in float64."""
CONSTANT = 1e-4
"""Values that vary by less than this share of the largest count as varying by it: rounding is 1e-15 of the largest."""
PROBE = 256
"""A probe is enlarged to this many pixels where the model's own input is smaller than what a pixel depends on."""
NARROW = 64
"""Strips are probed at this width and more: in narrower images a sequence of rows reaches over more of them."""

Size = tuple[int, int]


class Refused(Exception):
    """The network has no exact tiles; the text says why."""


def tile(model: Model, side: int) -> Model:
    """The same model for tiles: an input of ``side`` by ``side`` pixels instead of a whole image.

    Where only the rows of an image can be cut, its input is ``side`` rows of the image's whole width. Calibration and
    evaluation images stay at the size that ``model`` has, and are cut.

    Raises:
        RequestError: the network has no exact tiles, or none of this side; says why and which sides there are.
        CheckError: tiles of this side do not give the whole image's result.
    """
    tiling = derive(model)
    if model.lowering is not None:
        raise RequestError("tiles are cut before lowering, which fixes the size: lower(tile(model, side))")
    if tiling.refused is not None:
        raise RequestError(f"{model.spec.name} cannot run in tiles: {tiling.refused}")
    whole = model.image_size
    size: Size = (side if tiling.halo[0] is not None else whole[0], side if tiling.halo[1] is not None else whole[1])
    for axis, name in enumerate(("row", "column")):
        if tiling.halo[axis] is not None:
            check_tile(side, tiling.patch, tiling.halo[axis], name)
    if size[0] > whole[0] or size[1] > whole[1]:
        raise RequestError(
            f"a tile of {size[0]}x{size[1]} is larger than the image of {whole[0]}x{whole[1]}; "
            f"give a tile of {tiling.smallest} to {min(whole)}, or --input-size H W of your images"
        )
    if size != whole:
        error = difference(float64(model), model.spec.inputs[0].shape[1], whole, size, tiling)
        if not error <= TOLERANCE:
            raise CheckError(f"tiles of {size[0]}x{size[1]} change the result by {error:.1e} of its largest value")
    return resized(model, size, dataclasses.replace(tiling, image_size=whole))


def resized(model: Model, size: Size, tiling: Tiling) -> Model:
    """The same module for images (and masks) of another size."""
    (image,), (mask,) = model.spec.inputs, model.spec.outputs
    inputs = (dataclasses.replace(image, shape=(*image.shape[:2], *size)),)
    outputs = (dataclasses.replace(mask, shape=(*mask.shape[:-2], *size)),)
    return dataclasses.replace(model, spec=dataclasses.replace(model.spec, inputs=inputs, outputs=outputs), tiling=tiling)


def derive(model: Model) -> Tiling:
    """The exact tiles of a model that is not lowered yet; ``refused`` says why there are none."""
    if model.tiling is not None:
        return model.tiling
    try:
        check_form(model)
        return search(float64(model), model.spec.inputs[0].shape)
    except Refused as reason:
        return Tiling(refused=str(reason))


def check_form(model: Model) -> None:
    """One image in, one output of its height and width out."""
    inputs, outputs = model.spec.inputs, model.spec.outputs
    if len(inputs) != 1 or len(outputs) != 1 or inputs[0].layout != "NCHW" or inputs[0].role != "image":
        raise Refused(f"tiles need one image in and one mask out; it has {len(inputs)} inputs and {len(outputs)} outputs")
    if len(outputs[0].shape) < 3 or outputs[0].shape[-2:] != inputs[0].shape[-2:]:
        raise Refused(f"its output {outputs[0].shape} does not have the image's height and width {inputs[0].shape[-2:]}")


def float64(model: Model) -> nn.Module:
    """The network up to its values per class: the largest of them would hide NaN."""
    module = model.module.module if isinstance(model.module, WithOutput) else model.module
    return copy.deepcopy(module).eval().double()


def search(module: nn.Module, shape: tuple[int, ...]) -> Tiling:
    """Probes of growing size, until one holds all that a patch reaches; where none does along an axis, strips of it."""
    channels, own, single = shape[1], (shape[2], shape[3]), copy.deepcopy(module).float()
    reasons: dict[Size, Refused] = {}
    for size in probe_sizes(own):
        try:
            crossed = [crosses(single, channels, size, axis) for axis in (0, 1)]
            if any(crossed):
                raise unbounded(size, crossed)
            patch = patch_of(module, single, channels, size)
            halo = (reach(single, channels, size, patch, 0), reach(single, channels, size, patch, 1))
            if None in halo:
                raise unbounded(size, [each is None for each in halo])
        except Refused as reason:
            reasons[size] = reason
            continue
        return proven(module, channels, own, Tiling(patch, halo))
    for axis in (0, 1):
        found = strips(module, single, channels, own, axis)
        if found is not None:
            return proven(module, channels, own, found)
    raise reasons[own]


def strips(module: nn.Module, single: nn.Module, channels: int, own: Size, axis: int) -> Tiling | None:
    """Tiles cut along one axis only. The image is narrow along the other one, where a sequence of rows reaches farthest."""
    widths = [size[1 - axis] for size in probe_sizes(own) if size[1 - axis] >= NARROW and runs(single, channels, size)]
    across = min([own[1 - axis], *widths])
    for length in (own[axis], 2 * own[axis], 4 * own[axis]):
        size = (length, across) if axis == 0 else (across, length)
        if length > max(own[axis], 2 * PROBE):
            break
        with contextlib.suppress(Refused):
            if crosses(single, channels, size, axis):
                continue
            patch = patch_of(module, single, channels, size, axis)
            halo = reach(single, channels, size, patch, axis)
            if halo is not None:
                return Tiling(patch, (halo, None) if axis == 0 else (None, halo))
    return None


def unbounded(size: Size, axes: Sequence[bool]) -> Refused:
    """The refusal for a network whose output depends on the whole image."""
    where = " and ".join(name for name, is_open in zip(("rows", "columns"), axes, strict=True) if is_open)
    return Refused(
        f"a pixel's result depends on the whole image, along {where} (seen on {size[0]}x{size[1]}): a mean or attention over "
        "the image, or a receptive field that large"
    )


def probe_sizes(own: Size) -> Iterator[Size]:
    """A quarter, half, the whole of the model's own size (what its network divides it by stays a divisor), and larger."""
    for part in (4, 2):
        if own[0] % part == 0 and own[1] % part == 0:
            yield own[0] // part, own[1] // part
    factor = 1
    while factor == 1 or factor * min(own) <= PROBE:
        yield own[0] * factor, own[1] * factor
        factor *= 2


def crosses(single: nn.Module, channels: int, size: Size, axis: int) -> bool:
    """Whether the first line of pixels along an axis reaches the last one: then this size shows no bound."""
    return int(touched(single, channels, size, axis, 0, 1)[-1]) == size[axis] - 1


def patch_of(module: nn.Module, single: nn.Module, channels: int, size: Size, axis: int | None = None) -> int:
    """The smallest shift (of both axes, or one) that shifts the result alike, seen in the middle of a random image."""
    axes = (0, 1) if axis is None else (axis,)
    image = random_image(channels, size)
    rough, exact = Shifts(single, image.float(), axes), Shifts(module, image, axes)
    for shift in divisors(math.gcd(*(size[i] for i in axes))):
        if shift > min(size[i] for i in axes) // 4:
            break
        larger: Size = (size[0] + shift * (0 in axes), size[1] + shift * (1 in axes))
        if rough.error(shift) <= ROUGH and exact.error(shift) <= TOLERANCE and runs(single, channels, larger):
            return shift
    raise Refused("a pixel's result depends on where in the image it is, not only on what is around it")


class Shifts:
    """How far a network's result for a shifted image is from the result, shifted."""

    def __init__(self, module: nn.Module, image: Tensor, axes: tuple[int, ...]) -> None:
        self.module, self.image, self.axes = module, image, axes
        self.size: Size = (image.shape[2], image.shape[3])

    @functools.cached_property
    def whole(self) -> Tensor:
        """The result for the image itself."""
        return run(self.module, self.image)

    def error(self, shift: int) -> float:
        """Relative to the range of the values, in the middle of the image."""
        back, dims = [-shift] * len(self.axes), [axis - 2 for axis in self.axes]
        moved = run(self.module, self.image.roll([shift] * len(dims), dims))
        return relative(middle(self.whole, self.size, self.axes), middle(moved.roll(back, dims), self.size, self.axes))


def middle(values: Tensor, size: Size, axes: tuple[int, ...]) -> Tensor:
    """The middle quarter along ``axes``: a shift of a quarter does not bring the far border there."""
    for axis in axes:
        values = values.narrow(axis - 2, 3 * size[axis] // 8, size[axis] // 4)
    return values


def divisors(number: int) -> list[int]:
    """The divisors of a positive whole number, ascending."""
    return [n for n in range(1, number + 1) if number % n == 0]


def reach(single: nn.Module, channels: int, size: Size, patch: int, axis: int) -> int | None:
    """How many pixels beyond a patch its values reach along an axis, as a multiple of it; None where to the border.

    Seen in the middle and at both borders: a sequence of rows ties an image's right edge to its left.
    """
    count = size[axis] // patch
    farthest = 0
    for low in (count // 2 * patch, 0, (count - 1) * patch):
        high = low + patch
        found = touched(single, channels, size, axis, low, high)
        first, last = int(found[0]), int(found[-1]) + 1
        if (first == 0 and low > 0) or (last == size[axis] and high < size[axis]):
            return None
        farthest = max(farthest, low - first, last - high)
    return -(-farthest // patch) * patch


def touched(single: nn.Module, channels: int, size: Size, axis: int, low: int, high: int) -> Tensor:
    """Positions along ``axis`` where the result is NaN when the rows (columns) from ``low`` to ``high`` are."""
    image = random_image(channels, size).float()
    image.narrow(axis - 2, low, high - low).fill_(float("nan"))
    found = run(single, image).isnan().any(-1 if axis == 0 else -2).flatten(0, -2).any(0).nonzero().flatten()
    if len(found) == 0:
        raise Refused("its result does not show what it depends on: NaN in the image left none")
    return found


def proven(module: nn.Module, channels: int, own: Size, tiling: Tiling) -> Tiling:
    """The same tiling where tiles of the smallest size equal the whole on three tiles and more along each axis."""
    side = tiling.smallest
    tile = (own[0] if tiling.halo[0] is None else side, own[1] if tiling.halo[1] is None else side)
    step = [side - 2 * halo if halo is not None else 0 for halo in tiling.halo]
    size = (tile[0] + 2 * step[0], tile[1] + 3 * step[1])
    error = difference(module, channels, size, tile, tiling)
    if not error <= TOLERANCE:
        raise Refused(f"tiles of {tile[0]}x{tile[1]} change the result by {error:.1e} of its largest value")
    return tiling


def difference(module: nn.Module, channels: int, size: Size, tile: Size, tiling: Tiling) -> float:
    """Largest difference between the whole image and its tiles, relative to the largest value."""
    image = random_image(channels, size)
    image += torch.linspace(0, 1, size[0], dtype=image.dtype)[:, None] + torch.linspace(0, 2, size[1], dtype=image.dtype)
    whole = run(module, image)
    pieces = run_tiled(lambda part: run(module, torch.from_numpy(part)).numpy(), image.numpy(), make_grid(size, tile, tiling))
    return relative(whole, torch.from_numpy(pieces))


def relative(expected: Tensor, found: Tensor) -> float:
    """Largest difference over the range of the values: random weights leave little but a constant."""
    span = (expected.amax((-2, -1)) - expected.amin((-2, -1))).max()
    floor = (expected.abs().max() * CONSTANT).clamp_min(torch.finfo(torch.float64).tiny)
    return float((expected - found).abs().max() / torch.maximum(span, floor))


def random_image(channels: int, size: Size) -> Tensor:
    """An image (1, C, H, W) of seeded noise in float64."""
    return torch.rand(1, channels, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@torch.no_grad()
def run(module: nn.Module, image: Tensor) -> Tensor:
    """The one output, which must have the image's height and width.

    Raises:
        Refused: the network does not run on this size, or gives something else.
    """
    size = (image.shape[-2], image.shape[-1])
    try:
        with in_float64() if image.dtype == torch.float64 else contextlib.nullcontext():
            result = module(image)
    except Exception as error:  # a user's network may raise anything for a size it cannot take
        raise Refused(f"it does not run on images of {size[0]}x{size[1]}: {first_line(error)}") from error
    result = result[0] if isinstance(result, (tuple, list)) else result
    if not isinstance(result, Tensor) or not result.is_floating_point() or result.shape[-2:] != image.shape[-2:]:
        raise Refused(f"it gives no values of the image's own size on images of {size[0]}x{size[1]}")
    return result


def runs(single: nn.Module, channels: int, size: Size) -> bool:
    """Whether the network takes images of this size at all."""
    try:
        run(single, random_image(channels, size).float())
    except Refused:
        return False
    return True
