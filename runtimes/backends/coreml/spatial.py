"""Operators of Core ML's ML programs that slide a window over, or resample, the spatial axes of (N, C, ...).

``operators`` says how operators are written. Windows are torch's; it is imported when the first one is computed.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from onenet.runtimes.backends.coreml.layout import Array, Ints, check_size

PadType = Literal["valid", "custom", "same", "same_lower"]
Sampling = Literal["STRICT_ALIGN_CORNERS", "ALIGN_CORNERS", "DEFAULT", "OFFSET_CORNERS", "UNALIGN_CORNERS"]

Coordinates = Literal["normalized_minus_one_to_one", "normalized_zero_to_one", "unnormalized"]


def torch_of(x: Array) -> Any:
    """A torch tensor in float32; of the array's own memory where torch may write into it."""
    import torch

    return torch.from_numpy(np.require(x, np.float32, ["C", "W"]))


def paddings(shape: Ints, kernel: Ints, strides: Ints, dilations: Ints, pad_type: PadType, pad: Ints | None) -> list[Ints]:
    """(before, after) of each spatial axis. ``same`` gives ceil(length / stride) outputs, the odd row last."""
    if pad_type == "valid":
        return [(0, 0)] * len(shape)
    if pad_type == "custom":
        return list(zip(*[iter(pad or (0, 0) * len(shape))] * 2, strict=True))
    result: list[Ints] = []
    for length, size, stride, dilation in zip(shape, kernel, strides, dilations, strict=True):
        total = max((-(-length // stride) - 1) * stride + (size - 1) * dilation + 1 - length, 0)
        few, many = total // 2, total - total // 2
        result.append((many, few) if pad_type == "same_lower" else (few, many))
    return result


def padded(x: Array, pads: Sequence[Ints], value: float = 0) -> Array:
    """``x`` (N, C, ...) with its spatial axes extended by a constant."""
    if not any(map(any, pads)):
        return x
    check_size((*x.shape[:2], *(n + sum(each) for n, each in zip(x.shape[2:], pads, strict=True))))
    return np.pad(x, [(0, 0), (0, 0), *pads], constant_values=value)


def conv(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    strides: Ints | None = None,
    pad_type: PadType = "valid",
    pad: Ints | None = None,
    dilations: Ints | None = None,
    groups: int = 1,
) -> Array:
    """Weight (O, C / groups, ...)."""
    import torch.nn.functional as F

    ones = (1,) * (x.ndim - 2)
    strides, dilations = strides or ones, dilations or ones
    pads = paddings(x.shape[2:], weight.shape[2:], strides, dilations, pad_type, pad)
    x = padded(x, pads)
    check_size((x.shape[0], weight.shape[0], *(-(-n // stride) for n, stride in zip(x.shape[2:], strides, strict=True))))
    convolve = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[len(ones)]
    offset = None if bias is None else torch_of(bias)
    result: Array = convolve(torch_of(x), torch_of(weight), offset, strides, 0, dilations, groups).numpy()
    return result


def conv_transpose(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    pad: Ints | None = None,
    output_shape: Ints | None = None,
    pad_type: Literal["valid", "custom"] = "valid",
    strides: Ints | None = None,
    dilations: Ints | None = None,
    groups: int = 1,
) -> Array:
    """Weight (C, O / groups, ...). Of the whole result, ``pad`` is cut off; ``output_shape`` may keep more of its end."""
    import torch.nn.functional as F

    ones = (1,) * (x.ndim - 2)
    strides, dilations = strides or ones, dilations or ones
    pads = paddings(x.shape[2:], weight.shape[2:], strides, dilations, pad_type, pad)
    kernel = [(size - 1) * dilation + 1 for size, dilation in zip(weight.shape[2:], dilations, strict=True)]
    whole = [(n - 1) * stride + size for n, stride, size in zip(x.shape[2:], strides, kernel, strict=True)]
    ends = output_shape[2:] if output_shape else [n - sum(each) for n, each in zip(whole, pads, strict=True)]
    extra = [max(before + end - n, 0) for (before, _), end, n in zip(pads, ends, whole, strict=True)]
    check_size((x.shape[0], weight.shape[1] * groups, *map(sum, zip(whole, extra, strict=True))))
    convolve = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}[len(ones)]
    offset = None if bias is None else torch_of(bias)
    result: Array = convolve(torch_of(x), torch_of(weight), offset, strides, 0, extra, groups, dilations).numpy()
    kept = [slice(before, before + end) for (before, _), end in zip(pads, ends, strict=True)]
    return result[(slice(None), slice(None), *kept)]


def max_pool(
    x: Array,
    kernel_sizes: Ints,
    strides: Ints | None = None,
    pad_type: PadType = "valid",
    pad: Ints | None = None,
    ceil_mode: bool = False,
) -> Array:
    """MIL ``max_pool`` over the axes behind (N, C), one to three; padding never wins."""
    import torch.nn.functional as F

    functions = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
    strides, pads = pool_geometry(x, kernel_sizes, strides, pad_type, pad, ceil_mode)
    pool = functools.partial(functions[len(strides)], kernel_size=kernel_sizes, stride=strides, ceil_mode=ceil_mode)
    if ceil_mode:
        result: Array = pool(torch_of(x), padding=[before for before, _ in pads]).numpy()
    else:
        result = pool(torch_of(padded(x, pads, -np.inf))).numpy()
    return result


def avg_pool(
    x: Array,
    kernel_sizes: Ints,
    strides: Ints | None = None,
    pad_type: PadType = "valid",
    pad: Ints | None = None,
    exclude_padding_from_average: bool = False,
    ceil_mode: bool = False,
) -> Array:
    """MIL ``avg_pool`` over the axes behind (N, C), one to three; padding counts as zeros unless excluded."""
    import torch.nn.functional as F

    functions = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
    strides, pads = pool_geometry(x, kernel_sizes, strides, pad_type, pad, ceil_mode)
    pool = functools.partial(functions[len(strides)], kernel_size=kernel_sizes, stride=strides, ceil_mode=ceil_mode)
    if ceil_mode:
        before = [before for before, _ in pads]
        result: Array = pool(torch_of(x), padding=before, count_include_pad=not exclude_padding_from_average).numpy()
        return result
    result = pool(torch_of(padded(x, pads))).numpy()
    if exclude_padding_from_average:
        result = result / pool(torch_of(padded(np.ones_like(x[:1, :1]), pads))).numpy()
    return result


def pool_geometry(
    x: Array, kernel: Ints, strides: Ints | None, pad_type: PadType, pad: Ints | None, ceil_mode: bool
) -> tuple[Ints, list[Ints]]:
    """Strides, and (before, after) padding of each axis. Raises ValueError for ceil_mode with unequal padding."""
    ones = (1,) * (x.ndim - 2)
    strides = strides or ones
    pads = paddings(x.shape[2:], kernel, strides, ones, pad_type, pad)
    if ceil_mode and any(before != after for before, after in pads):
        raise ValueError("ceil_mode is defined for equal padding at both ends only")
    return strides, pads


def sample_points(length: int, count: int, mode: Sampling) -> NDArray[np.float64]:
    """Where along an axis of ``length`` values each of ``count`` results lies."""
    at = np.arange(count)
    if mode == "ALIGN_CORNERS" and count == 1:
        points = np.array([(length - 1) / 2])
    elif mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        points = at * (length - 1) / max(count - 1, 1)
    elif mode == "OFFSET_CORNERS":
        points = (at + 0.5) * max(1, length - 1) / count
    else:
        points = (at + 0.5) * length / count - 0.5 if mode == "UNALIGN_CORNERS" else at * length / count
    result: NDArray[np.float64] = np.clip(points, 0, length - 1)
    return result


def resize_bilinear(
    x: Array, target_size_height: int = 1, target_size_width: int = 1, sampling_mode: Sampling = "DEFAULT"
) -> Array:
    """MIL ``resize_bilinear``: the last two axes of x at the target size, at the points of ``sampling_mode``."""
    check_size((*x.shape[:-2], target_size_height, target_size_width))
    for axis, count in ((-2, target_size_height), (-1, target_size_width)):
        points = sample_points(x.shape[axis], count, sampling_mode)
        low = np.floor(points).astype(np.int64)
        high = np.minimum(low + 1, x.shape[axis] - 1)
        share = (points - low).astype(np.float32).reshape(-1, *(1,) * (-1 - axis))
        x = x.take(low, axis) * (1 - share) + x.take(high, axis) * share
    return x


def upsample_bilinear(
    x: Array,
    scale_factor_height: float = 1,
    scale_factor_width: float = 1,
    align_corners: bool = True,
    half_pixel_centers: bool | None = None,
) -> Array:
    """MIL ``upsample_bilinear``. Raises ValueError for align_corners together with half_pixel_centers."""
    half = not align_corners if half_pixel_centers is None else half_pixel_centers
    if align_corners and half:
        raise ValueError("align_corners together with half_pixel_centers is not defined")
    mode: Sampling = "STRICT_ALIGN_CORNERS" if align_corners else "UNALIGN_CORNERS" if half else "DEFAULT"
    return resize_bilinear(x, *scaled(x, scale_factor_height, scale_factor_width), mode)


def upsample_nearest_neighbor(x: Array, scale_factor_height: float = 1, scale_factor_width: float = 1) -> Array:
    """MIL ``upsample_nearest_neighbor``: H and W of x (N, C, H, W) times the factors, rounded down."""
    return resize_nearest_neighbor(x, *scaled(x, scale_factor_height, scale_factor_width))


def resize_nearest_neighbor(x: Array, target_size_height: int, target_size_width: int) -> Array:
    """MIL ``resize_nearest_neighbor``: output i reads input floor(i * size / target) of each of the last two axes."""
    check_size((*x.shape[:-2], target_size_height, target_size_width))
    for axis, count in ((-2, target_size_height), (-1, target_size_width)):
        x = x.take(np.arange(count) * x.shape[axis] // count, axis)
    return x


def resample(
    x: Array,
    coordinates: Array,
    sampling_mode: Literal["bilinear", "nearest"] = "bilinear",
    padding_mode: Literal["constant", "border", "reflection", "symmetric"] = "constant",
    padding_value: float = 0,
    coordinates_mode: Coordinates = "unnormalized",
    align_corners: bool = False,
) -> Array:
    """MIL ``resample``: x (N, C, H, W) at the points (x, y) of ``coordinates`` (N, h, w, 2); torch's ``grid_sample``.

    Raises:
        ValueError: a reflection at the ends that belongs to the other value of align_corners.
    """
    import torch.nn.functional as F

    if padding_mode == ("symmetric" if align_corners else "reflection"):
        raise ValueError(f"{padding_mode} together with align_corners = {align_corners} is not defined")
    check_size((*x.shape[:2], *coordinates.shape[1:3]))
    if coordinates_mode == "normalized_zero_to_one":
        coordinates = coordinates * 2 - 1
    elif coordinates_mode == "unnormalized":
        last = np.array([x.shape[3], x.shape[2]], np.float32) - 1
        coordinates = coordinates * 2 / last - 1 if align_corners else (coordinates * 2 + 1) / (last + 1) - 1
    padding = {"constant": "zeros", "border": "border"}.get(padding_mode, "reflection")
    outside = padding_value if padding_mode == "constant" else 0
    grid = torch_of(coordinates)
    found: Array = F.grid_sample(torch_of(x - outside), grid, sampling_mode, padding, align_corners).numpy() + outside
    return found


def scaled(x: Array, height: float, width: float) -> tuple[int, int]:
    """Height and width of x times the factors, rounded down."""
    # In float32, as coremltools multiplies: 10 * 2.1 is 21 there and 20.999999 in float64.
    return math.floor(np.float32(x.shape[-2]) * np.float32(height)), math.floor(np.float32(x.shape[-1]) * np.float32(width))
