"""How near a program's outputs are to the float network's: one number for any number of outputs of any kind."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Outputs = Sequence[Tensor]
"""What a network gives for one input."""


def error_of(expected: Sequence[Outputs], found: Sequence[Outputs]) -> float:
    """Noise of each output as a share of its signal, added up; of whole numbers, such as labels, the share that differs.

    Each output counts alike, whatever its size: scores in the thousands do not hide a wrong box beside them.

    Args:
        expected: of the float network, for each input.
        found: of another program, for the same inputs.

    Returns:
        0 where all is equal; infinity where a number became NaN or infinite.
    """
    columns = zip(zip(*expected, strict=True), zip(*found, strict=True), strict=True)
    return sum(share_of_errors(*column) for column in columns)


def share_of_errors(expected: Outputs, found: Outputs) -> float:
    """Of one output, over all inputs."""
    whole = not expected[0].is_floating_point()
    pairs = [(a != b, torch.ones_like(a)) if whole else noise_and_signal(a, b) for a, b in zip(expected, found, strict=True)]
    wrong, all_of_it = (sum(float(each.sum(dtype=torch.float64)) for each in column) for column in zip(*pairs, strict=True))
    share = wrong / (all_of_it or 1.0)
    return share if share < float("inf") else float("inf")  # also of NaN


def noise_and_signal(expected: Tensor, found: Tensor) -> tuple[Tensor, Tensor]:
    """Squares of what is off and of what there is, where the float network's values are finite."""
    finite = expected.isfinite()
    signal = expected[finite].double()
    return (signal - found[finite].double()).square(), signal.square()
