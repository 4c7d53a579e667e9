"""Operators of Core ML's ML programs that move, copy and pick values without computing with them.

``operators`` says how operators are written.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Ints = tuple[int, ...]

LARGEST = 2**28
"""Values in one tensor, 1 GiB in float32: beyond this a program is damaged or not for a device."""


def check_size(shape: Sequence[int]) -> None:
    """Refuse a result before it is allocated."""
    if math.prod(shape) > LARGEST:
        raise ValueError(f"a tensor of {'x'.join(map(str, shape))} values was asked for; at most {LARGEST} are supported")


def concat(values: list[Array], axis: int, interleave: bool = False) -> Array:
    """MIL ``concat`` (tensor_operation): values joined along ``axis``; their other axes are equal.

    With ``interleave`` the first of each, then the second of each, and so on: of values of one shape.
    """
    check_size((sum(each.size for each in values),))
    if not interleave:
        return np.concatenate(values, axis)
    axis %= values[0].ndim
    shape = list(values[0].shape)
    shape[axis] *= len(values)
    return np.stack(values, axis + 1).reshape(shape)


def crop(x: Array, crop_height: Ints, crop_width: Ints) -> Array:
    """How many rows and columns go at each end."""
    (top, bottom), (left, right) = crop_height, crop_width
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]


def depth_to_space(x: Array, block_size: int) -> Array:
    """Channels in the order (row of the block, column, channel); ``pixel_shuffle`` has (channel, row, column)."""
    n, c, h, w = x.shape
    blocks = x.reshape(n, block_size, block_size, c // block_size**2, h, w)
    return blocks.transpose(0, 3, 4, 1, 5, 2).reshape(n, -1, h * block_size, w * block_size)


def space_to_depth(x: Array, block_size: int) -> Array:
    """MIL ``space_to_depth``: (N, C, H, W) -> (N, C b², H/b, W/b), block positions before channels."""
    n, c, h, w = x.shape
    blocks = x.reshape(n, c, h // block_size, block_size, w // block_size, block_size)
    return blocks.transpose(0, 3, 5, 1, 2, 4).reshape(n, -1, h // block_size, w // block_size)


def pixel_shuffle(x: Array, upscale_factor: int) -> Array:
    """MIL ``pixel_shuffle``: (N, C f², H, W) -> (N, C, H f, W f), channels before block positions."""
    n, c, h, w = x.shape
    blocks = x.reshape(n, c // upscale_factor**2, upscale_factor, upscale_factor, h, w)
    return blocks.transpose(0, 1, 4, 2, 5, 3).reshape(n, -1, h * upscale_factor, w * upscale_factor)


def pixel_unshuffle(x: Array, downscale_factor: int) -> Array:
    """MIL ``pixel_unshuffle`` (iOS 16): (N, C, H, W) -> (N, C f², H/f, W/f), the inverse of pixel_shuffle."""
    n, c, h, w = x.shape
    blocks = x.reshape(n, c, h // downscale_factor, downscale_factor, w // downscale_factor, downscale_factor)
    return blocks.transpose(0, 1, 3, 5, 2, 4).reshape(n, -1, h // downscale_factor, w // downscale_factor)


def expand_dims(x: Array, axes: Ints) -> Array:
    """MIL ``expand_dims``: axes of length 1 at these places of the result."""
    return np.expand_dims(x, axes)


def fill(shape: Ints, value: Array | None = None) -> Array:
    """MIL ``fill``: an array of this shape with one value, float32 zero by default. Raises as check_size does."""
    check_size(shape)
    return np.full(shape, np.float32(0) if value is None else value)


def gather(x: Array, indices: Array, axis: int = 0, batch_dims: Literal[0] = 0, validate_indices: bool = False) -> Array:
    """MIL ``gather``: slices of x at indices along ``axis``. Raises IndexError for an index out of range."""
    del batch_dims, validate_indices  # an index out of range is an error here, however it is declared
    check_size((x.size // max(x.shape[axis], 1), indices.size))
    return x.take(indices.astype(np.int64), axis)


def pad(x: Array, pad: Ints, mode: Literal["constant", "reflect", "replicate"] = "constant", constant_val: float = 0) -> Array:
    """(before, after) of the last axes, in their order."""
    pairs = list(zip(*[iter(pad)] * 2, strict=True))
    widths = [(0, 0)] * (x.ndim - len(pairs)) + pairs
    check_size([n + sum(each) for n, each in zip(x.shape, widths, strict=True)])
    if mode == "constant":
        return np.pad(x, widths, constant_values=constant_val)
    if mode == "replicate":
        return np.pad(x, widths, "edge")
    return np.pad(x, widths, "reflect")


def reshape(x: Array, shape: Ints) -> Array:
    """A 0 takes the input's length at the same place counted from the right, 1 where it has none; -1 takes the rest."""
    ahead = x.ndim - len(shape)
    lengths = [(x.shape[i + ahead] if i + ahead >= 0 else 1) if n == 0 else n for i, n in enumerate(shape)]
    return x.reshape(lengths)


def reverse(x: Array, axes: Ints | None = None) -> Array:
    """MIL ``reverse``: x read backwards along these axes, all of them by default."""
    return np.flip(x, axes)


def slice_by_index(
    x: Array,
    begin: Ints,
    end: Ints,
    stride: Ints | None = None,
    begin_mask: Ints | None = None,
    end_mask: Ints | None = None,
    squeeze_mask: Ints | None = None,
) -> Array:
    """A mask's 1 leaves that limit out; in ``squeeze_mask`` it takes the one value at ``begin``, without its axis."""
    nothing = (0,) * x.ndim
    index: list[int | slice] = []
    masks = zip(begin_mask or nothing, end_mask or nothing, squeeze_mask or nothing, strict=True)
    for first, last, step, (from_start, to_end, single) in zip(begin, end, stride or (1,) * x.ndim, masks, strict=True):
        index.append(first if single else slice(None if from_start else first, None if to_end else last, step))
    return np.asarray(x[tuple(index)])


def slice_by_size(x: Array, begin: Ints, size: Ints) -> Array:
    """A size of -1 takes what is left."""
    starts = [first + n if first < 0 else first for first, n in zip(begin, x.shape, strict=True)]
    return x[tuple(slice(first, None if n == -1 else first + n) for first, n in zip(starts, size, strict=True))]


def split(x: Array, axis: int, num_splits: int | None = None, split_sizes: Ints | None = None) -> list[Array]:
    """MIL ``split``: parts along ``axis``, of the given sizes or ``num_splits`` equal ones. Raises ValueError if unequal."""
    if split_sizes is None:
        return np.split(x, num_splits or 1, axis)
    return np.split(x, np.cumsum(split_sizes)[:-1], axis)


def squeeze(x: Array, axes: Ints | None = None) -> Array:
    """MIL ``squeeze``: x without these axes, or without all of length 1. Raises ValueError for a longer axis."""
    return np.squeeze(x, axes)


def stack(values: list[Array], axis: int) -> Array:
    """MIL ``stack``: values of one shape joined along a new axis at place ``axis``."""
    check_size((sum(each.size for each in values),))
    return np.stack(values, axis)


def tile(x: Array, reps: Ints) -> Array:
    """MIL ``tile``: x repeated ``reps`` times along each axis. Raises ValueError where their numbers differ."""
    check_size([n * times for n, times in zip(x.shape, reps, strict=True)])
    return np.tile(x, reps)


def transpose(x: Array, perm: Ints) -> Array:
    """MIL ``transpose``: axis i of the result is axis perm[i] of x."""
    return x.transpose(perm)


def select(cond: Array, a: Array, b: Array) -> Array:
    """MIL ``select``: a where cond holds, else b; the three shapes are broadcast."""
    check_size(np.broadcast_shapes(cond.shape, a.shape, b.shape))
    return np.where(cond, a, b)
