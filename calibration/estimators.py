"""From a histogram to the range that int8 covers. One function per estimator; all take the whole histogram, so none depends
on the order of the samples.

A range (low, high) always holds zero, which int8 must represent exactly.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from onenet.calibration.histogram import Histogram

Range = tuple[float, float]
Values = NDArray[np.float64]

STEPS = 255
"""Steps of an int8 range."""
EPSILON = 2.0**-40
"""Smallest scale of an activation, for one that is zero. What kernels take depends on the scales around it: ``limits``."""
TAIL = 1e-5
"""Share of the values that ``percentile`` leaves out on each side that has values."""
SHRINKS = tuple(share / 50 for share in range(50, 4, -1))
"""Shares of the full range that ``mse`` and ``entropy`` try, on each side: 1.00, 0.98, ... 0.10."""


def min_max(histogram: Histogram) -> Range:
    """Everything seen: nothing saturates, and one outlier widens every step."""
    return min(histogram.low, 0.0), max(histogram.high, 0.0)


def percentile(histogram: Histogram) -> Range:
    """All but the outermost ``TAIL`` of the values on each side."""
    return min(histogram.quantile(TAIL), 0.0), max(histogram.quantile(1 - TAIL), 0.0)


def mse(histogram: Histogram) -> Range:
    """The range of least mean squared error between the values and their int8 form, sides shrunk one after the other."""
    return search(histogram, squared_error)


def entropy(histogram: Histogram) -> Range:
    """The range whose int8 form has the least Kullback-Leibler divergence from the values' distribution.

    S. Migacz, 8-bit inference with TensorRT (GTC 2017), on both sides of zero instead of on absolute values.
    """
    return search(histogram, divergence)


ESTIMATORS: dict[str, Callable[[Histogram], Range]] = {
    "min-max": min_max,
    "percentile": percentile,
    "mse": mse,
    "entropy": entropy,
}
AUTO = "auto"
"""Not an estimator but a choice between two, which the network's outputs on the calibration samples make: ``decide``."""
ESTIMATOR_NAMES = (AUTO, *ESTIMATORS)
"""What a recipe and ``--estimator`` can ask for."""


def search(histogram: Histogram, loss: Callable[[Values, Values, Range, float], float]) -> Range:
    """The best shrunken range: the side with the longer tail first, then the other, then the first again."""
    low, high = min_max(histogram)
    centres, weights = histogram.points()

    def best(candidates: list[Range]) -> Range:
        losses = [loss(centres, weights, each, histogram.width) for each in candidates]
        return candidates[int(np.argmin(losses))]

    sides = ["high", "low", "high"] if high >= -low else ["low", "high", "low"]
    found = (low, high)
    for side in sides:
        found = best([(found[0], high * s) if side == "high" else (low * s, found[1]) for s in SHRINKS])
    return found


def int8_error(histogram: Histogram, limits: Range) -> float:
    """Squared error, summed over the values seen, of their int8 form in a range."""
    return squared_error(*histogram.points(), limits, histogram.width)


def squared_error(centres: Values, weights: Values, limits: Range, _: float) -> float:
    """Sum of squared differences between values and their int8 form in a range."""
    scale, zero_point = affine(limits)
    steps = np.clip(np.rint(centres / scale) + zero_point, -128, 127)
    return float(np.dot(weights, (centres - (steps - zero_point) * scale) ** 2))


def divergence(centres: Values, weights: Values, limits: Range, width: float) -> float:
    """Of the distribution clipped to the range, from the same one spread evenly over the bins in use of each int8 step.

    The bin that begins at zero is left out, as TensorRT does: behind a ReLU half of all values can be zero, which every
    range represents exactly, and their spread over the first step would outweigh everything else.
    """
    other = np.floor(centres / width) != 0
    inside = other & (centres >= limits[0]) & (centres <= limits[1])
    if not inside.any():
        return float("inf")
    scale, zero_point = affine(limits)
    steps = np.clip(np.rint(centres[inside] / scale) + zero_point, -128, 127).astype(np.intp) + 128
    seen = weights[inside]
    spread = (np.bincount(steps, seen) / np.maximum(np.bincount(steps), 1))[steps]
    q = spread / spread.sum()
    seen[0] += weights[other & (centres < limits[0])].sum()
    seen[-1] += weights[other & (centres > limits[1])].sum()
    p = seen / seen.sum()
    return float(np.sum(p * np.log(p / q)))


def affine(limits: Range) -> tuple[float, int]:
    """Scale and zero point of int8 for a range that holds zero."""
    scale = max((limits[1] - limits[0]) / STEPS, EPSILON)
    return scale, int(np.clip(-128 - np.rint(limits[0] / scale), -128, 127))
