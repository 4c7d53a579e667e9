"""Masks: constants that switch values off before a softmax or a maximum. They are no part of a tensor's range.

``-inf`` has no place on an int8 scale, and beside -1e9 all other values would share one step.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

HUGE = 1e4
"""Masks are -1e4 (half precision), -1e9, the smallest number of a type, or minus infinity."""


def is_mask(value: object) -> bool:
    """Whether a number or a tensor is there to switch values off.

    A number: infinite, or very negative. A tensor: some of it is, or some of it is huge where the rest is zero, as in
    ``x - 1e9 * off``.
    """
    if isinstance(value, Tensor):
        return value.is_floating_point() and value.numel() > 0 and is_mask_tensor(value)
    return isinstance(value, float) and (not math.isfinite(value) or value <= -HUGE)


def is_mask_tensor(value: Tensor) -> bool:
    """``is_mask`` of a tensor of floats."""
    beside_zero = bool((value.abs() >= HUGE).any() and (value == 0).any())
    return beside_zero or not bool(torch.isfinite(value).all()) or bool(value.min() <= -HUGE)
