"""The numbers of a diffusion: how noisy a step is, and how a network is told which step it is. numpy only.

The schedule is the cosine one of Nichol and Dhariwal, arXiv 2102.09672, section 3.2; the embedding is that of arXiv 2006.11239.
"""

from __future__ import annotations

import math

import numpy as np

from onenet.base.arrays import Array

OFFSET = 0.008
"""Keeps the first steps from having no noise at all (the schedule's s)."""
LONGEST = 10_000.0
"""Of the embedding's wavelengths."""


def signal_of(level: float) -> float:
    """Share of the signal's variance, alpha-bar, at a noise level from 0 (the clean mask) to 1 (noise alone)."""

    def f(at: float) -> float:
        return math.cos((at + OFFSET) / (1 + OFFSET) * math.pi / 2) ** 2

    return min(max(f(level) / f(0.0), 1e-4), 1.0)


def level_embedding(level: float, size: int, longest: float = LONGEST) -> Array:
    """A noise level in [0, 1] as sines and cosines, (size,) float32 in [-1, 1]; size is even."""
    frequencies = longest ** (-np.arange(size // 2, dtype=np.float64) / (size // 2))
    angles = 1000.0 * level * frequencies  # levels are as fine as the thousand steps that diffusions are trained with
    return np.concatenate([np.sin(angles), np.cos(angles)]).astype(np.float32)


def levels_of(steps: int) -> list[float]:
    """Noise levels that a sampler visits, from 1 down to 0: ``steps`` + 1 of them, evenly spaced."""
    return [1 - k / steps for k in range(steps + 1)]
