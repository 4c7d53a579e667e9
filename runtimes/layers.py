"""Layer by layer: what an artifact holds between its operators, beside what a reference holds there. numpy only.

A layer is one operator together with the ReLU behind it, and its value is what is stored after both: in int8 the quantized
one. Operators have the names that torch.export gives them (``conv2d_3``, ``relu_2``, ``cat``); the reference's values come
from ``onenet.export.layers``.

Each layer is judged ``alone``: on what the reference computes from the values that the artifact itself had in front of it.
Rounding that piles up on the way, as int8 does by right, then neither hides a fault nor moves it to a later layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from onenet.base.arrays import Array
from onenet.base.metrics import sqnr_db
from onenet.runtimes.session import RuntimeInfo


@dataclass(frozen=True)
class LayerTolerance:
    """What a layer may differ by from the reference on the same inputs; None: not asked."""

    relative: float | None = None
    """Largest difference over the largest reference value."""
    sqnr_db: float | None = None
    max_steps: float | None = None
    """Largest difference in int8 steps of the layer."""
    mean_steps: float | None = None
    off_grid: float | None = None


TOLERANCES: dict[str, LayerTolerance] = {
    # One operator in another order of summation. Measured on onenet-ed4 and onenet-e4, all targets: up to 2.4e-6.
    "fp32": LayerTolerance(relative=2e-5),
    # Weights and values of 11 bits: at least 59 dB and at most 2.0e-3 there. One wrong channel of many shows in the latter.
    "fp16": LayerTolerance(relative=1e-2, sqnr_db=50.0),
    # Kernels round to either neighbour where the exact sum lies half-way between two steps: never more than 1 step there,
    # 0.009 on average. A wrong sum is further off, a wrong zero point by 1 step everywhere, a wrong scale by parts of one.
    "int8": LayerTolerance(max_steps=1.01, mean_steps=0.1, off_grid=0.05),
    # Where a converter stores in int8 what the calibration left in float: rounding, 0.25 steps on average. More is clipping.
    "stored in int8": LayerTolerance(max_steps=1.01, mean_steps=0.5),
}


MOVES = (
    "reshape",
    "view",
    "permute",
    "transpose",
    "flatten",
    "slice",
    "squeeze",
    "unsqueeze",
    "pixel_shuffle",
    "pixel_unshuffle",
)
"""Operators that only bring values to other places: the names of lowering's ``PICKS``, which is out of reach without torch."""


@dataclass(frozen=True)
class Difference:
    """How far a layer's values are from a reference's; in steps too where the reference's are quantized."""

    sqnr_db: float
    relative: float
    """Largest difference over the largest reference value."""
    mean_steps: float | None = None
    max_steps: float | None = None
    off_grid: float | None = None
    """How far a difference is from a whole number of steps, at most: 0, unless the artifact's scale is another."""


@dataclass(frozen=True)
class Layer:
    """One layer of an artifact beside the references."""

    operators: tuple[str, ...]
    """The operator, and the ReLU behind it."""
    shape: tuple[int, ...]
    alone: Difference
    """To the reference on the artifact's own inputs of this layer: what the layer itself does."""
    piled_up: Difference
    """To the reference on the image: what this layer and all before it do."""
    float_db: float | None
    """SQNR against the float network."""
    reference_float_db: float | None
    """SQNR of the int8 reference against the float network; None in float artifacts."""
    wrong: str | None
    """How it breaks its tolerance; None where it is good."""
    module: str = ""
    """Path of the operator's module in the user's network; empty for the network itself."""

    @property
    def name(self) -> str:
        """The name of its first operator."""
        return self.operators[0]

    @property
    def moves(self) -> bool:
        """Whether it only brings values to other places."""
        return self.name.rstrip("_0123456789") in MOVES


@dataclass(frozen=True)
class Profile:
    """Every layer of one artifact that can be compared, in graph order."""

    artifact: str
    target: str
    precision: str
    runtime: RuntimeInfo
    layers: tuple[Layer, ...]
    missing: tuple[str, ...]
    """Layers of the reference that the artifact holds no value of: its converter fused them, or left them out."""
    extra: tuple[str, ...]
    """Values in the artifact that are no layer of the reference."""

    @property
    def first_bad_layer(self) -> Layer | None:
        """The first layer, in the order of computation, that has something wrong; None where all are right."""
        return next((layer for layer in self.layers if layer.wrong), None)

    @property
    def passed(self) -> bool:
        """Whether no layer has something wrong."""
        return self.first_bad_layer is None

    def as_dict(self) -> dict[str, Any]:
        """The profile as JSON values, with the name of the first bad layer."""
        bad = self.first_bad_layer
        layers = [{"name": layer.name, **asdict(layer)} for layer in self.layers]
        content = {**asdict(self), "layers": layers, "first_bad_layer": bad and bad.name, "passed": self.passed}
        found: dict[str, Any] = plain(content)
        return found


def plain(value: Any) -> Any:
    """As JSON has it: no infinity, which is the SQNR of equal values, no NaN, six digits."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, float):
        return float(f"{np.nan_to_num(value, nan=-999.0, posinf=999.0, neginf=-999.0):.6g}")
    return value


@dataclass(frozen=True)
class Row:
    """One layer in several artifacts; None where one has no such layer."""

    operators: tuple[str, ...]
    layers: tuple[Layer | None, ...]


LayerKey = tuple[tuple[str, ...], tuple[int, ...]]
"""Operators and sorted sizes: what a layer has in all artifacts of one network."""


def side_by_side(profiles: Sequence[Profile]) -> list[Row]:
    """The layers of several artifacts of one network, in graph order. Those of one name and size are the same layer."""
    order: list[LayerKey] = []
    for profile in profiles:
        place = 0
        for key in map(same_in_all, profile.layers):
            if key not in order:
                order.insert(place, key)
            place = order.index(key) + 1
    found = [{same_in_all(layer): layer for layer in profile.layers} for profile in profiles]
    columns = [tuple(each.get(key) for each in found) for key in order]
    return [Row(next(each for each in column if each is not None).operators, column) for column in columns]


def same_in_all(layer: Layer) -> LayerKey:
    """What one layer has in common between targets: its operators and its lengths in any order."""
    return layer.operators, tuple(sorted(layer.shape))


def difference(reference: Array, found: Array, step: float | None = None) -> Difference:
    """Compare values of one shape; ``step`` is the int8 scale of the reference's."""
    if not np.isfinite(found).all():
        worst = float("inf")
        return Difference(-worst, worst, *((worst,) * 3 if step else ()))
    gap = np.abs(reference.astype(np.float64) - found)
    largest = float(np.abs(reference).max(initial=0.0))
    relative = float(gap.max(initial=0.0)) / max(largest, float(np.finfo(np.float32).tiny))
    if step is None:
        return Difference(sqnr_db(reference, found), relative)
    steps = gap / step
    off_grid = np.abs(steps - np.rint(steps))
    return Difference(sqnr_db(reference, found), relative, *(float(f) for f in (steps.mean(), steps.max(), off_grid.max())))


def judge(found: Difference, tolerance: LayerTolerance, values: int) -> str | None:
    """How a layer of so many values breaks its tolerance, in words; None where it keeps it."""
    return next(broken(found, tolerance, values), None)


def broken(found: Difference, tolerance: LayerTolerance, values: int) -> Iterator[str]:
    """What exceeds the tolerance, one text for each limit; ``values`` is how many values the layer has."""
    # One value may be rounded to the other neighbour, however few there are: a vector of four is then off by 0.25 on average.
    mean_steps = tolerance.mean_steps and max(tolerance.mean_steps, 1.01 / values)
    if exceeds(found.off_grid, tolerance.off_grid):
        yield "its int8 steps are not the reference's: another scale"
    if exceeds(found.max_steps, tolerance.max_steps):
        yield f"{found.max_steps:.3g} int8 steps off (1 allowed)"
    if exceeds(found.mean_steps, mean_steps):
        yield f"{found.mean_steps:.2f} int8 steps off on average ({mean_steps:g} allowed)"
    if exceeds(found.relative, tolerance.relative):
        yield f"{found.relative:.1e} of the largest value off ({tolerance.relative:.0e} allowed)"
    if tolerance.sqnr_db is not None and not found.sqnr_db >= tolerance.sqnr_db:
        yield f"SQNR {found.sqnr_db:.1f} dB ({tolerance.sqnr_db:g} needed)"


def exceeds(value: float | None, limit: float | None) -> bool:
    """Whether a value is above its limit; NaN is, and None on either side is not."""
    return value is not None and limit is not None and not value <= limit  # NaN does


def aligned(found: Array, reference: Array) -> Array | None:
    """An artifact's value in the reference's order of axes; None where it has other sizes.

    TFLite keeps channels last, but not behind every operator. Where both orders fit, the nearer one is meant. Axes of length
    1 come and go.
    """
    channels_first = (0, found.ndim - 1, *range(1, found.ndim - 1))
    orders = [found, found.transpose(channels_first)] if found.ndim > 2 else [found]
    fitting = [each.reshape(reference.shape) for each in orders if long_axes(each) == long_axes(reference)]
    if not fitting:
        return None
    nearest = fitting[0] if len(fitting) == 1 else min(fitting, key=lambda each: float(np.abs(each - reference).mean()))
    return np.ascontiguousarray(nearest)


def long_axes(value: Array) -> list[int]:
    """The lengths above 1, in the order of the axes."""
    return [length for length in value.shape if length > 1]


def describe(profile: Profile) -> str:
    """``The first bad layer is conv2d_3, relu_3 (module blocks.0.conv): ...``, in one sentence."""
    bad = profile.first_bad_layer
    if bad is None:
        return f"All {len(profile.layers)} layers are right on their own inputs."
    return f"The first bad layer is {named(', '.join(bad.operators), bad.module)}: {bad.wrong}."


def named(operator: str, module: str) -> str:
    """``conv2d_3 (module blocks.0.conv)``: what the artifact calls it, and what the user does."""
    return f"{operator} (module {module})" if module else operator
