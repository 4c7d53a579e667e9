"""Outputs of a lower resolution at the size of their image. numpy only."""

from __future__ import annotations

import numpy as np

from onenet.base.arrays import Array


def enlarge(values: Array, size: tuple[int, int]) -> Array:
    """(N, C, h, w) as (N, C, H, W): bilinear between pixel centres, edges repeated, as PyTorch's ``align_corners=False``."""
    for axis, wanted in ((2, size[0]), (3, size[1])):
        have = values.shape[axis]
        if have == wanted:
            continue
        places = ((np.arange(wanted) + 0.5) * (have / wanted) - 0.5).clip(0, have - 1)
        low = places.astype(np.int64)
        shape = [1] * values.ndim
        shape[axis] = wanted
        share = (places - low).astype(values.dtype).reshape(shape)
        values = values.take(low, axis) * (1 - share) + values.take(np.minimum(low + 1, have - 1), axis) * share
    return values


def nearest(labels: Array, size: tuple[int, int]) -> Array:
    """(..., h, w) as (..., H, W): each pixel takes the one that its centre lies in.

    In whole numbers, as every language can repeat it: Pillow adds fractions up, and is one off where a centre lies on an edge.
    """
    rows, columns = ((2 * np.arange(n) + 1) * m // (2 * n) for n, m in zip(size, labels.shape[-2:]))
    result: Array = labels[..., rows[:, None], columns]
    return result
