"""Histograms count alike in any order and any parts; estimators choose the range that they promise."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from onenet.calibration.estimators import (
    EPSILON,
    ESTIMATORS,
    SHRINKS,
    TAIL,
    Range,
    affine,
    divergence,
    entropy,
    int8_error,
    min_max,
    mse,
    percentile,
)
from onenet.calibration.histogram import BINS, QUANTILES, SMALLEST, Histogram, Summary
from onenet.calibration.scheme import FixedRange

Floats = NDArray[np.float32]
LARGEST = float(np.finfo(np.float32).max)
LEAST = float(np.finfo(np.float32).smallest_subnormal)

repeatable = settings(derandomize=True, database=None, deadline=None, max_examples=150)
values = st.floats(width=32, allow_nan=False, allow_infinity=False)
tame = st.floats(-8, 8, width=32)
"""Most arrays of any float32 hold one that dwarfs the rest; these share a grid."""
lists = st.lists(values, min_size=1, max_size=40) | st.lists(tame, min_size=1, max_size=200)


def array(numbers: Any) -> Floats:
    return np.array(numbers, np.float32)


def counted(*parts: Any) -> Histogram:
    histogram = Histogram()
    for part in parts:
        histogram.add(array(part))
    return histogram


def merged(*histograms: Histogram) -> Histogram:
    result = Histogram()
    for each in histograms:
        result.merge(each)
    return result


def state(histogram: Histogram) -> str:
    """Everything that it holds; as text, in which -0.0 is not 0.0."""
    used = np.flatnonzero(histogram.counts)
    counts = {int(place): int(histogram.counts[place]) for place in used}
    return json.dumps([histogram.exponent, histogram.low, histogram.high, counts, asdict(histogram.summary())])


# --- counting ---------------------------------------------------------------


@repeatable
@given(lists, st.randoms(use_true_random=False))
@example([-1e-12, 3e38], None)  # a product that underflows has no sign
@example([-0.0, 0.0], None)
@example([LEAST, -LEAST, LARGEST, -LARGEST], None)
def test_neither_order_nor_parts_matter(numbers: list[float], random: Any) -> None:
    whole = state(counted(numbers))
    mixed = list(numbers)
    if random is not None:
        random.shuffle(mixed)
    for order in (numbers[::-1], mixed):
        assert state(counted(*[[each] for each in order])) == whole
        parts = [order[start::3] for start in range(3)]
        assert state(counted(*parts)) == whole
        assert state(merged(*[counted(part) for part in parts])) == whole
        assert state(merged(merged(*[counted(part) for part in parts[:2]]), counted(parts[2]))) == whole
        assert state(merged(counted(parts[2]), merged(*[counted(part) for part in parts[:2]]))) == whole


@repeatable
@given(lists)
def test_every_value_is_counted_in_its_own_bin(numbers: list[float]) -> None:
    histogram = counted(numbers)
    width = Fraction(2) ** (histogram.exponent + 1) / BINS
    expected = np.zeros(BINS, int)
    for each in array(numbers):
        expected[math.floor(Fraction(float(each)) / width) + BINS // 2] += 1
    assert np.array_equal(histogram.counts, expected)
    assert Fraction(histogram.width) == width


POWERS = [sign * 2.0**power for power in range(-149, 128) for sign in (1, -1)]
EDGES = [each * 2.0**-7 for each in range(-4096, 4096)]


HARD = {
    "largest": [-LARGEST, LARGEST],
    "one largest": [LARGEST],
    "negative": [-3.0, -1e-30, -7.0],
    "zeros": [0.0] * 5,
    "negative zero": [-0.0],
    "one value": [5.0],
    "subnormal": [LEAST, -LEAST, 3 * LEAST],
    "first grid": [2.0**SMALLEST, -(2.0**SMALLEST)],
    "powers of two": POWERS,
    "edges": EDGES,
    "below powers of two": [np.nextafter(np.float32(each), np.float32(0)) for each in POWERS],
    "below edges": [np.nextafter(np.float32(each), np.float32(-np.inf)) for each in EDGES],
    "growing": np.geomspace(1e-44, 3e38, 400).tolist(),
}


@pytest.mark.parametrize("numbers", HARD.values(), ids=HARD)
def test_hard_values_in_any_order(numbers: list[float]) -> None:
    whole = counted(numbers)
    assert whole.total == len(numbers)
    assert whole.low == array(numbers).min()
    assert whole.high == array(numbers).max()
    shuffled = np.random.default_rng(0).permutation(array(numbers))
    for order in (numbers[::-1], sorted(numbers, key=abs), sorted(numbers, key=abs)[::-1], shuffled):
        assert state(counted(*np.array_split(array(order), min(7, len(numbers))))) == state(whole)


@repeatable
@given(lists)
def test_the_largest_value_lies_in_the_upper_half_of_its_side(numbers: list[float]) -> None:
    histogram = counted(numbers)
    largest = max(-histogram.low, histogram.high)
    assert largest < 2.0**histogram.exponent
    assert largest >= 2.0**histogram.exponent / 2 or histogram.exponent == SMALLEST


def test_arrays_of_any_shape_and_stride() -> None:
    numbers = np.arange(-60, 60, dtype=np.float32).reshape(2, 3, 4, 5)
    turned = numbers.transpose(3, 1, 0, 2)[:, ::-1]
    assert state(counted(turned)) == state(counted(numbers.ravel()))


def test_nothing_adds_nothing() -> None:
    histogram = counted([], [1.0, 2.0], np.zeros((0, 3, 4)))
    before = state(histogram)
    histogram.merge(Histogram())
    assert state(histogram) == before == state(merged(Histogram(), histogram))
    assert Histogram().summary() == Summary(0, {})


def test_merging_leaves_the_other_alone() -> None:
    small, large = counted([1e-9, 2e-9]), counted([1e9])
    before = state(small)
    large.merge(small)
    assert state(small) == before
    assert large.total == 3
    large.add(array([5.0]))
    assert state(small) == before


@pytest.mark.parametrize("bad", [[math.nan], [1.0, math.nan, 2.0], [math.inf], [0.0, -math.inf], [math.nan, math.inf]])
def test_nan_and_infinity_are_refused_and_leave_no_trace(bad: list[float]) -> None:
    histogram = counted([1.0, -2.0])
    before = state(histogram)
    with pytest.raises(ValueError, match="NaN or infinity"):
        histogram.add(array(bad))
    assert state(histogram) == before


def test_memory_does_not_grow_with_the_values() -> None:
    histogram, rng = Histogram(), np.random.default_rng(0)
    for scale in np.geomspace(1e-30, 1e30, 200):
        histogram.add((rng.standard_normal(5000) * scale).astype(np.float32))
    assert histogram.total == 1_000_000
    held = [each for each in vars(histogram).values() if not isinstance(each, (int, float))]
    assert [(each.shape, each.dtype) for each in held] == [((BINS,), np.int64)]


# --- quantiles --------------------------------------------------------------


def distribution(name: str, count: int = 200_000) -> Floats:
    rng = np.random.default_rng(1)
    found: dict[str, Callable[[], NDArray[Any]]] = {
        "normal": lambda: rng.standard_normal(count),
        "relu": lambda: np.maximum(rng.standard_normal(count), 0),
        "negative": lambda: -rng.exponential(3.0, count),
        "uniform": lambda: rng.uniform(-0.25, 0.75, count),
        "uniform, positive": lambda: rng.uniform(0, 3, count),
        "heavy tail": lambda: rng.standard_t(3, count),
        "pixels": lambda: rng.integers(0, 256, count) / 255,
    }
    return found[name]().astype(np.float32)


NAMES = ["normal", "relu", "negative", "uniform", "uniform, positive", "heavy tail", "pixels"]


@pytest.mark.parametrize("name", NAMES)
def test_quantiles_are_numpys_to_a_bin(name: str) -> None:
    numbers = distribution(name)
    histogram = counted(numbers)
    for share in (*QUANTILES, 0.1, 1 / 3, TAIL, 1 - TAIL):
        # Between neighbours a quantile may lie anywhere, so numpy's own two choices bound it.
        low, high = (float(np.quantile(numbers, share, method=way)) for way in ("lower", "higher"))
        assert low - histogram.width <= histogram.quantile(share) <= high + histogram.width
    assert histogram.quantile(0) == numbers.min()
    assert histogram.quantile(1) == numbers.max()


@repeatable
@given(lists, st.floats(0, 1))
def test_a_quantile_has_its_share_below_it(numbers: list[float], share: float) -> None:
    histogram, found = counted(numbers), array(numbers).astype(np.float64)
    value = histogram.quantile(share)
    assert histogram.low <= value <= histogram.high
    rounding = 1e-9 * len(found)
    assert (found < value - histogram.width).sum() <= share * len(found) + rounding
    assert (found <= value + histogram.width).sum() >= share * len(found) - rounding


def test_a_summary_is_short_and_plain() -> None:
    summary = counted(distribution("normal", 1000)).summary()
    assert Summary(**json.loads(json.dumps(asdict(summary)))) == summary
    assert summary.values == 1000
    assert [float(share) for share in summary.quantiles] == list(QUANTILES)
    found = list(summary.quantiles.values())
    assert found == sorted(found)


# --- estimators -------------------------------------------------------------


def error(numbers: Floats, limits: Range) -> float:
    """Squared error of the int8 form, by torch."""
    scale, zero_point = affine(limits)
    found = torch.fake_quantize_per_tensor_affine(torch.from_numpy(numbers), scale, zero_point, -128, 127).numpy()
    return float(((numbers.astype(np.float64) - found) ** 2).sum())


@repeatable
@given(lists, st.sampled_from(sorted(ESTIMATORS)))
def test_a_range_holds_zero_and_nothing_beyond_the_values(numbers: list[float], name: str) -> None:
    low, high = ESTIMATORS[name](counted(numbers))
    assert min(*numbers, 0.0) <= low <= 0 <= high <= max(*numbers, 0.0)
    assert (type(low), type(high)) == (float, float)
    assert math.copysign(1, high) == 1  # a record shows the sign of zero
    assert low or math.copysign(1, low) == 1


CONSTANTS: list[tuple[list[float], Range]] = [
    ([0.0] * 9, (0.0, 0.0)),
    ([-0.0], (0.0, 0.0)),
    ([2.5], (0.0, 2.5)),
    ([-2.5] * 3, (-2.5, 0.0)),
    ([LARGEST], (0.0, LARGEST)),
    ([LEAST], (0.0, LEAST)),
]


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize(("numbers", "expected"), CONSTANTS)
def test_constants_keep_their_value(name: str, numbers: list[float], expected: Range) -> None:
    assert ESTIMATORS[name](counted(numbers)) == expected


@pytest.mark.parametrize("name", NAMES)
def test_min_max_is_what_was_seen(name: str) -> None:
    numbers = distribution(name)
    assert min_max(counted(numbers)) == (min(float(numbers.min()), 0.0), max(float(numbers.max()), 0.0))


@pytest.mark.parametrize("name", NAMES)
def test_the_sides_of_a_range_are_those_of_the_values(name: str) -> None:
    numbers = distribution(name)
    for estimate in ESTIMATORS.values():
        low, high = estimate(counted(numbers))
        assert (low < 0, high > 0) == (bool((numbers < 0).any()), bool((numbers > 0).any()))


@pytest.mark.parametrize(("sign", "side"), [(1, 1), (-1, 0)])
def test_an_outlier_widens_min_max_alone(sign: int, side: int) -> None:
    numbers = np.append(sign * np.abs(distribution("normal", 2_000_000)), sign * np.float32(40))
    histogram = counted(numbers)
    assert abs(min_max(histogram)[side]) == 40
    for estimate in (percentile, mse, entropy):
        assert 3 <= abs(estimate(histogram)[side]) <= 12
        assert error(numbers, estimate(histogram)) < 0.5 * error(numbers, min_max(histogram))


def test_mse_pays_for_an_outlier_only_what_it_saves() -> None:
    many = np.concatenate([distribution("normal", 2_000_000), [np.float32(12)]])
    few = np.concatenate([distribution("normal", 2_000), [np.float32(12)]])
    assert mse(counted(many))[1] < 6
    assert mse(counted(few))[1] > 11


def test_percentile_leaves_out_its_tail_on_each_side() -> None:
    numbers = distribution("normal", 1_000_000)
    low, high = percentile(counted(numbers))
    outside = ((numbers < low).sum(), (numbers > high).sum())
    assert all(0 < each <= 2 * TAIL * numbers.size for each in outside)
    few = numbers[:1000]
    low, high = percentile(counted(few))
    width = counted(few).width
    assert (low, high) == (pytest.approx(float(few.min()), abs=width), pytest.approx(float(few.max()), abs=width))


@pytest.mark.parametrize("name", ["uniform", "uniform, positive", "pixels"])
def test_values_without_a_tail_keep_their_range(name: str) -> None:
    histogram = counted(distribution(name))
    whole = np.array(min_max(histogram))
    for estimate in (percentile, mse, entropy):
        assert np.abs(whole - estimate(histogram)).max() <= 0.04 * np.abs(whole).max()


@pytest.mark.parametrize("name", NAMES)
def test_no_shrunken_range_has_less_error_than_mse(name: str) -> None:
    numbers = distribution(name, 20_000)
    histogram = counted(numbers)
    low, high = min_max(histogram)
    candidates = {(low * a, high * b) for a in SHRINKS[::3] for b in SHRINKS[::3]}
    found = mse(histogram)
    assert found[0] in {low * each for each in SHRINKS}
    assert found[1] in {high * each for each in SHRINKS}
    # Bins are a sixteenth of a step and more apart, and the sides are shrunk one after the other.
    assert error(numbers, found) <= 1.02 * min(error(numbers, each) for each in candidates)
    last_side = [(found[0], high * each) if high >= -low else (low * each, found[1]) for each in SHRINKS]
    assert int8_error(histogram, found) == min(int8_error(histogram, each) for each in last_side)


def test_mse_beats_min_max_where_there_is_a_tail() -> None:
    for name in ("heavy tail", "normal", "relu"):
        numbers = distribution(name)
        found, whole = (error(numbers, estimate(counted(numbers))) for estimate in (mse, min_max))
        assert found < 0.95 * whole


@pytest.mark.parametrize("name", NAMES)
def test_the_error_of_a_histogram_is_that_of_its_values(name: str) -> None:
    numbers = distribution(name, 20_000)
    histogram = counted(numbers)
    for limits in (min_max(histogram), mse(histogram), (0.3 * min_max(histogram)[0], 0.3 * min_max(histogram)[1])):
        assert int8_error(histogram, limits) == pytest.approx(
            error(numbers, limits), rel=0.05, abs=numbers.size * histogram.width**2
        )


def test_scales_are_those_of_the_observer() -> None:
    rng = np.random.default_rng(0)
    for low, high in zip(-rng.lognormal(0, 3, 300), rng.lognormal(0, 3, 300), strict=True):
        for limits in ((low, high), (0.0, high), (low, 0.0)):
            observer = FixedRange(dtype=torch.int8, quant_min=-128, quant_max=127, qscheme=torch.per_tensor_affine, eps=EPSILON)
            observer.set(*limits)
            scale, zero_point = (each.item() for each in observer.calculate_qparams())
            assert affine(limits) == (pytest.approx(scale, rel=1e-6), zero_point)


def test_ranges_below_the_smallest_scale_stay_whole() -> None:
    # A narrower range would have the same scale, and another zero point: it would only saturate.
    numbers = (distribution("normal") * 20 * EPSILON).astype(np.float32)
    histogram = counted(numbers)
    low, high = min_max(histogram)
    assert high - low < 255 * EPSILON
    assert mse(histogram) == (low, high)
    assert affine(mse(histogram))[0] == EPSILON


# --- entropy, a second time -------------------------------------------------


def slow_divergence(numbers: Floats, limits: Range, width: float) -> float:
    """S. Migacz's, bin by bin and step by step, in plain Python; the bin of the zeros left out."""
    scale = max((limits[1] - limits[0]) / 255, EPSILON)
    zero_point = min(max(-128 - round(limits[0] / scale), -128), 127)
    counts: dict[int, int] = {}
    for each in numbers.tolist():
        counts[math.floor(each / width)] = counts.get(math.floor(each / width), 0) + 1
    counts.pop(0, None)
    below, above, inside = 0, 0, []
    for place in sorted(counts):
        centre = (place + 0.5) * width
        if centre < limits[0]:
            below += counts[place]
        elif centre > limits[1]:
            above += counts[place]
        else:
            inside.append(place)
    if not inside:
        return math.inf
    members: dict[int, list[int]] = {}
    for place in inside:
        step = min(max(round((place + 0.5) * width / scale) + zero_point, -128), 127)
        members.setdefault(step, []).append(place)
    q = {place: sum(counts[each] for each in places) / len(places) for places in members.values() for place in places}
    p = {place: float(counts[place]) for place in inside}
    p[inside[0]] += below
    p[inside[-1]] += above
    total_p, total_q = sum(p.values()), sum(q.values())
    return sum(p[place] / total_p * math.log(p[place] / total_p / (q[place] / total_q)) for place in inside)


@pytest.mark.parametrize("name", NAMES)
def test_divergence_is_the_slow_one(name: str) -> None:
    numbers = distribution(name, 3000)
    histogram = counted(numbers)
    low, high = min_max(histogram)
    for a, b in [(1, 1), (0.98, 0.5), (0.3, 0.72), (0.1, 0.1)]:
        limits = (low * a, high * b)
        found = divergence(*histogram.points(), limits, histogram.width)
        assert found == pytest.approx(slow_divergence(numbers, limits, histogram.width), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", ["relu", "heavy tail", "negative"])
def test_entropy_takes_the_range_of_least_divergence(name: str) -> None:
    numbers = distribution(name, 1500)
    histogram = counted(numbers)
    low, high = min_max(histogram)
    found = (low, high)
    for side in (1, 0, 1) if high >= -low else (0, 1, 0):
        tried = [(low * each, found[1]) if side == 0 else (found[0], high * each) for each in SHRINKS]
        found = min(tried, key=lambda limits: slow_divergence(numbers, limits, histogram.width))
    assert entropy(histogram) == found


def test_zeros_behind_a_relu_do_not_narrow_entropy() -> None:
    numbers = distribution("relu", 1_000_000)
    positive = numbers[numbers > 0]
    assert entropy(counted(numbers)) == entropy(counted(positive))
    assert entropy(counted(numbers))[1] > 3  # 99.7 % of the positive values
