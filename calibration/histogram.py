"""What a calibration remembers of a tensor: how often each value was seen, in constant memory, whatever the order.

Bins lie on a fixed grid: their width is a power of two, one edge is zero. When a larger value arrives, neighbours are merged
until the grid holds it. Counting into narrow bins and merging gives the same integers as counting into wide ones, so two
histograms of the same values are equal to the last bit, in whatever order and in however many parts the values came.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 8192
"""Half of them below zero. The largest value lies in the upper half of its side, so ReLU's outputs fill 2049 to 4096."""
SMALLEST = -40
"""Exponent of the first grid: 2**-40 on each side, narrower than any scale that integer kernels can carry."""
QUANTILES = (0.0, 0.0001, 0.01, 0.25, 0.5, 0.75, 0.99, 0.9999, 1.0)
"""Shares that a record lists."""


@dataclass(frozen=True)
class Summary:
    """What a person is told of a histogram."""

    values: int
    """How many were counted."""
    quantiles: dict[str, float]
    """Share (``0.25``; 0 and 1 are the extremes) -> value, six digits; empty where nothing was counted."""


class Histogram:
    """Counts of the values of one tensor over all samples.

    The grid covers [-2**exponent, 2**exponent) in ``BINS`` bins; ``low`` and ``high`` are the exact extremes.
    """

    def __init__(self) -> None:
        self.exponent = SMALLEST
        self.counts: NDArray[np.int64] = np.zeros(BINS, np.int64)
        self.low, self.high = math.inf, -math.inf

    @property
    def total(self) -> int:
        """How many values were counted."""
        return int(self.counts.sum())

    @property
    def width(self) -> float:
        """Of a bin."""
        return 2.0 ** (self.exponent + 1) / BINS

    @property
    def edges(self) -> NDArray[np.float64]:
        """(BINS + 1,) ascending."""
        return np.arange(-BINS // 2, BINS // 2 + 1, dtype=np.float64) * self.width

    def add(self, values: NDArray[np.float32]) -> None:
        """Count an array's values.

        Raises:
            ValueError: a value is NaN or infinite.
        """
        if values.size == 0:
            return
        self.grow(float(values.min()), float(values.max()))
        # A product with a power of two is exact, so a value's bin does not depend on how wide the bins were when it came.
        # In wide bins it needs float64: float32 would round the least negative values to zero, which is another bin.
        exact = np.float32 if self.width <= 1 else np.float64
        places = np.floor(np.multiply(values.ravel(), 1 / self.width, dtype=exact)).astype(np.intp)
        self.counts += np.bincount(places + BINS // 2, minlength=BINS)

    def merge(self, other: Histogram) -> None:
        """Add what another histogram has counted."""
        if other.total == 0:
            return
        self.grow(other.low, other.high)
        merged = Histogram()
        merged.counts, merged.exponent = other.counts, other.exponent
        merged.widen(self.exponent - other.exponent)
        self.counts = self.counts + merged.counts

    def grow(self, low: float, high: float) -> None:
        """Extend the extremes, whether or not the values there are counted.

        Raises:
            ValueError: one is NaN or infinite.
        """
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError("NaN or infinity")
        # -0.0 + 0.0 is 0.0: which of the two zeros comes first must not show.
        self.low, self.high = min(self.low, low) + 0.0, max(self.high, high) + 0.0
        needed = max(-self.low, self.high)
        exponent = math.frexp(needed)[1] if needed > 0 else SMALLEST  # needed < 2**exponent
        self.widen(exponent - self.exponent)

    def widen(self, doublings: int) -> None:
        """Double the bins' width so often, merging neighbours."""
        if doublings <= 0:
            return
        places = (np.arange(-BINS // 2, BINS // 2) >> min(doublings, 62)) + BINS // 2
        counts = np.zeros(BINS, np.int64)
        np.add.at(counts, places, self.counts)
        self.counts, self.exponent = counts, self.exponent + doublings

    def points(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Centres and counts of the bins in use."""
        used = np.flatnonzero(self.counts)
        edges = self.edges
        return (edges[used] + edges[used + 1]) / 2, self.counts[used].astype(np.float64)

    def quantile(self, share: float) -> float:
        """The value below which ``share`` of the values lie, interpolated within its bin; the extremes are exact."""
        if share <= 0:
            return self.low
        if share >= 1:
            return self.high
        below = np.concatenate([[0], np.cumsum(self.counts)])
        value = float(np.interp(share * below[-1], below, self.edges))
        return min(max(value, self.low), self.high)

    def summary(self) -> Summary:
        """For a reader."""
        quantiles = {f"{share:g}": float(f"{self.quantile(share):.6g}") for share in QUANTILES} if self.total else {}
        return Summary(self.total, quantiles)
