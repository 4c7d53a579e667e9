"""The proof that a rewrite is exact on the network at hand: one image whose places are all different, before and after."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

TOLERANCE = 1e-9
"""Relative difference allowed in float64. Rounding alone gives 1e-15 to 1e-13; a wrong index gives 1e-2 and more."""
INT8_FORM_TOLERANCE = 1e-2
"""Mean relative difference allowed between a calibrated program and its form for a target: only places change, but a sum may
round to the next int8 step when its channel moves within a vector, and later layers carry that on. 1e-5 was seen on a random
network of 27 layers; a wrong index gives about 1."""
SMALLEST = torch.finfo(torch.float64).tiny


def asymmetric_probe(inputs: Sequence[Tensor], seed: int = 0) -> list[Tensor]:
    """Random values plus a ramp along every axis: no two positions, channels or borders are alike.

    Args:
        inputs: of the shapes and types that the probe must have; inputs that are no floats are returned as they are.
        seed: of the random values.
    """
    generator = torch.Generator().manual_seed(seed)
    probes = []
    for each in inputs:
        if not each.is_floating_point():
            probes.append(each)
            continue
        value = torch.rand(each.shape, generator=generator, dtype=torch.float64)
        for axis, size in enumerate(each.shape):
            ramp = torch.linspace(0, 1 + axis, size, dtype=torch.float64)
            value = value + ramp.reshape([-1 if i == axis else 1 for i in range(each.dim())])
        probes.append(value / value.max())
    return probes


@torch.no_grad()
def outputs(module: nn.Module, inputs: Sequence[Tensor]) -> list[Tensor]:
    """What a module returns, as a list also where it is one tensor."""
    result = module(*inputs)
    return [each.detach() for each in (result if isinstance(result, (tuple, list)) else [result])]


def relative_difference(expected: Sequence[Tensor], found: Sequence[Tensor]) -> float:
    """Largest absolute difference over the largest absolute value, of the output where it is largest; NaN if any value is."""
    return worst_difference(expected, found, torch.amax)


def mean_difference(expected: Sequence[Tensor], found: Sequence[Tensor]) -> float:
    """Mean absolute difference over the mean absolute value, of the output where it is largest; NaN if any value is."""
    return worst_difference(expected, found, torch.mean)


def worst_difference(expected: Sequence[Tensor], found: Sequence[Tensor], size: Callable[[Tensor], Tensor]) -> float:
    """The size of the difference over the size of the finite values, of the worst output; infinite where a shape differs.

    NaN or infinity in the same place on both sides is no difference: a mask of -inf may be what a network returns.
    """
    worst = torch.zeros((), dtype=torch.float64)
    for a, b in zip(expected, found, strict=True):
        if a.shape != b.shape:
            return float("inf")
        a, b = a.double(), b.double()  # labels are integers
        alike = (a == b) | (a.isnan() & b.isnan())
        values = torch.where(a.isfinite(), a.abs(), 0.0)
        worst = worst.maximum(size(torch.where(alike, 0.0, (a - b).abs())) / size(values).clamp_min(SMALLEST))
    return float(worst)
