"""When an output is right: as good as what the artifact was made from, and like it rather than like anything else."""

from __future__ import annotations

import json

import numpy as np
import pytest

from onenet.runtimes import values
from onenet.runtimes.values import (
    ENOUGH_DB,
    HALF_MARGIN_DB,
    HIGHEST_DB,
    INT8_MARGIN_DB,
    LABELS_MARGIN,
    MOST_STEPS,
    OWN_ERRORS,
    TOLERANCES,
    Known,
    Limits,
    exact_limits,
    half_limits,
    int8_limits,
    judge,
)
from onenet.spec import TensorSpec
from onenet.targets import PRECISIONS
from onenet.tasks.classification import TASK as CLASSIFICATION
from onenet.tasks.other import TASK as OTHER
from onenet.tasks.segmentation import TASK as SEGMENTATION

LOGITS = TensorSpec("logits", "logits", (1, 3, 40, 50), "NCHW")
DEPTH = TensorSpec("depth", "scores", (1, 1, 40, 50), "NCHW")
SCORES = TensorSpec("logits", "logits", (1, 1000), "NC")
LABELS = TensorSpec("labels", "labels", (1, 40, 50), dtype="int32")
STEP = 0.05
RNG = np.random.default_rng(0)


def outputs(channels: int = 3, pixels: int = 2000) -> np.ndarray:
    """(pixels, channels) of size 1 around 2."""
    return np.random.default_rng(1).normal(2, 1, (pixels, channels)).astype(np.float32)


def noisy(reference: np.ndarray, decibels: float, seed: int = 2) -> np.ndarray:
    """With so much noise."""
    noise = np.random.default_rng(seed).choice([-1.0, 1.0], reference.shape)
    return (reference + noise * np.sqrt(np.square(reference).mean()) * 10 ** (-decibels / 20)).astype(np.float32)


def rounded(reference: np.ndarray, move: float = 0.0) -> np.ndarray:
    """In int8 steps, with ties moved."""
    moves = np.random.default_rng(3).uniform(-move, move, reference.shape)
    return (np.rint(reference / STEP + moves) * STEP).astype(np.float32)


def program(channels: int = 3, pixels: int = 2000) -> Known:
    """A network whose int8 program does nothing but round."""
    floats = outputs(channels, pixels)
    return Known(floats, rounded(floats), (rounded(floats, 1 / 16),), STEP)


def is_right(spec: TensorSpec, known: Known, found: np.ndarray) -> bool | None:
    task = CLASSIFICATION if spec.layout == "NC" else SEGMENTATION if spec is LOGITS else OTHER
    return judge(task, spec, int8_limits(task, spec, known), known, found)[0]


# --- float --------------------------------------------------------------


def test_every_precision_that_exists_has_a_tolerance() -> None:
    assert set(TOLERANCES) == set(PRECISIONS)
    assert TOLERANCES["fp32"].relative == TOLERANCES["w8"].relative == 2e-5
    assert TOLERANCES["fp16"].sqnr_db == 50


@pytest.mark.parametrize("own", [0.0, 3e-6, 9e-5])
def test_fp32_may_be_some_times_as_far_from_float64_as_pytorch_and_never_less_than_2e_5(own: float) -> None:
    reference = outputs() * 100
    largest = np.abs(reference).max()
    moved = reference.astype(np.float64)
    moved[7, 2] += own * largest
    limit = exact_limits(reference, moved).relative
    assert limit is not None
    assert limit == pytest.approx(max(2e-5, OWN_ERRORS * own), rel=0.11)  # two digits
    assert limit >= OWN_ERRORS * own
    for error, passed in ((0.9, True), (1.1, False)):
        found = reference.astype(np.float64)
        found[5, 1] += error * limit * largest
        limits, known = Limits(relative=limit), Known(reference, reference)
        assert judge(SEGMENTATION, LOGITS, limits, known, found)[0] is passed


@pytest.mark.parametrize(("simulated", "needed"), [(47.0, 47 - HALF_MARGIN_DB), (70.0, 50.0)])
def test_fp16_may_be_some_decibels_worse_than_its_simulation(simulated: float, needed: float) -> None:
    reference = outputs()
    limits = half_limits(reference, noisy(reference, simulated), asked=50.0)
    assert limits.sqnr_db == pytest.approx(needed, abs=0.11)
    for decibels, passed in ((needed + 0.5, True), (needed - 0.5, False)):
        found = noisy(reference, decibels, 5)
        assert judge(SEGMENTATION, LOGITS, limits, Known(reference, reference), found)[0] is passed


def test_a_simulation_that_overflows_asks_no_less() -> None:
    reference = outputs()
    assert half_limits(reference, np.full_like(reference, np.inf), asked=40.0) == Limits(sqnr_db=40.0)


# --- int8 ---------------------------------------------------------------

SPECS = [(LOGITS, 3), (DEPTH, 1), (SCORES, 1000)]


def known_of(spec: TensorSpec, channels: int) -> Known:
    return program(channels, 1 if spec is SCORES else 2000)


@pytest.mark.parametrize(("spec", "channels"), SPECS)
def test_the_program_itself_and_another_rounding_of_it_are_right(spec: TensorSpec, channels: int) -> None:
    known = known_of(spec, channels)
    assert is_right(spec, known, known.reference) is True
    for seed in range(5):
        moves = np.random.default_rng(seed).uniform(-1 / 16, 1 / 16, known.floats.shape)
        assert is_right(spec, known, np.rint(known.floats / STEP + moves) * STEP) is True


FAULTS = {
    "zeros": lambda found: found * 0,
    "the mean everywhere": lambda found: np.full_like(found, found.mean()),
    "scaled": lambda found: found * 1.1,
    "another scale, about its zero": lambda found: (found - 2) * 1.1 + 2,
    "other places": lambda found: found[::-1, ::-1],
    "a shift of two steps": lambda found: found + 2 * STEP,
    "NaN": lambda found: np.where(found > 3, np.nan, found),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("spec", "channels"), SPECS)
def test_every_kind_of_output_shows_a_fault(spec: TensorSpec, channels: int, fault: str) -> None:
    known = known_of(spec, channels)
    assert is_right(spec, known, FAULTS[fault](known.reference)) is False


@pytest.mark.parametrize("fault", ["zeros", "the mean everywhere", "other places", "NaN"])
def test_a_program_that_is_bad_itself_hides_no_loss(fault: str) -> None:
    """Its own noise is as large as the signal: against the float model alone anything would pass."""
    floats = outputs()
    bad = noisy(floats, 3.0)
    known = Known(floats, bad, (noisy(bad, 25.0, 7),), STEP)
    assert is_right(LOGITS, known, noisy(bad, 25.0, 8)) is True
    assert is_right(LOGITS, known, FAULTS[fault](bad)) is False


@pytest.mark.parametrize(("worse", "passed"), [(INT8_MARGIN_DB - 0.3, True), (INT8_MARGIN_DB + 0.3, False)])
def test_the_margin_against_the_float_model(worse: float, passed: bool) -> None:
    floats = outputs()
    known = Known(floats, noisy(floats, 30.0), step=STEP)
    more = 30.0 - 10 * np.log10(10 ** (worse / 10) - 1)  # noise of its own on top of the program's
    assert is_right(DEPTH, known, known.reference + noisy(floats, more, 9) - floats) is passed


def test_a_fault_that_is_no_farther_from_the_float_model_is_farther_from_the_program() -> None:
    floats = outputs()
    known = Known(floats, noisy(floats, 25.0), (noisy(noisy(floats, 25.0), 40.0, 4),), STEP)
    assert is_right(DEPTH, known, noisy(noisy(floats, 25.0), 35.0, 5)) is True
    assert is_right(DEPTH, known, noisy(floats, 25.0, 6)) is False  # as near, but by an error of its own


def test_what_another_rounding_changes_is_allowed_for() -> None:
    floats = outputs()
    still, moved = (Known(floats, noisy(floats, 35.0), (noisy(floats, each, 4),), STEP) for each in (35.0, 31.0))
    found = noisy(floats, 31.5, 9)
    assert is_right(DEPTH, still, found) is False
    assert is_right(DEPTH, moved, found) is True


@pytest.mark.parametrize(("off", "passed"), [(0.9, True), (1.1, False)])
def test_one_class_of_a_thousand_is_not_hidden_by_the_others(off: float, passed: bool) -> None:
    known = program(1000, 1)
    found = known.reference.copy()
    found[0, 500] += off * MOST_STEPS * STEP
    judged = judge(OTHER, SCORES, Limits(most=int8_limits(OTHER, SCORES, known).most), known, found)
    assert judged[0] is passed


def refused_labels() -> tuple[int, int]:
    """Of 200 rows of classes that int8 costs much, as another rounding has them: refused, and with another first."""
    refused = changed = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        floats = random.normal(0, 1, (1, 1000)).astype(np.float32)
        reference = floats + random.normal(0, 0.5, floats.shape).astype(np.float32)
        first, second, found = (reference + random.normal(0, 0.1, floats.shape).astype(np.float32) for _ in range(3))
        known = Known(floats, reference, (first, second), STEP)
        limits = int8_limits(CLASSIFICATION, SCORES, known)
        refused += not all(kept for kept, _ in values.labels_kept(CLASSIFICATION, SCORES, limits, known, found))
        changed += int(found.argmax() != floats.argmax())
    return refused, changed


def test_the_first_of_a_thousand_classes_may_be_another_where_int8_costs_much(monkeypatch: pytest.MonkeyPatch) -> None:
    refused, changed = refused_labels()
    assert changed > 50
    assert refused == 0
    monkeypatch.setattr(values, "DEVIATIONS", 1.0)
    assert refused_labels()[0] > 0


@pytest.mark.parametrize(("spread", "found", "passed"), [(25, 22, True), (25, 13, False), (15, 12.5, True), (15, 11, False)])
def test_a_program_that_is_nothing_like_the_float_model_is_asked_for_as_it_is(
    spread: float, found: float, passed: bool
) -> None:
    floats, reference = outputs(1), rounded(np.random.default_rng(5).normal(2, 1, (2000, 1)).astype(np.float32))

    def away(decibels: float, seed: int) -> np.ndarray:
        """Off by noise of so many dB; of a reference around 2 of size 1, only that 1 is signal."""
        return noisy(reference - 2, decibels, seed) + 2

    known = Known(floats, reference, (away(spread, 6), away(spread, 7)), STEP)
    assert is_right(DEPTH, known, reference) is True
    assert is_right(DEPTH, known, away(found, 8)) is passed


def test_labels_may_differ_as_often_as_the_program_s() -> None:
    floats = outputs()
    bad = noisy(floats, 12.0)
    limits = int8_limits(SEGMENTATION, LOGITS, Known(floats, bad, step=STEP))
    own = float(np.mean(floats.argmax(1) == bad.argmax(1)))
    assert limits.labels == pytest.approx(own - LABELS_MARGIN, abs=1e-4)
    assert own < 0.95


def test_labels_that_another_rounding_changes_may_be_wrong_by_chance() -> None:
    floats, reference = outputs(pixels=100), outputs(pixels=100) + RNG.normal(0, 0.4, (100, 3)).astype(np.float32)
    other = reference + RNG.normal(0, 0.3, (100, 3)).astype(np.float32)
    same = float(np.mean(reference.argmax(1) == other.argmax(1)))
    shares = [float(np.mean(floats.argmax(1) == each.argmax(1))) for each in (reference, other)]
    limits = int8_limits(SEGMENTATION, LOGITS, Known(floats, reference, (other,), STEP))
    assert same < 0.98
    assert limits.labels == pytest.approx(min(shares) - LABELS_MARGIN - 3 * np.sqrt((1 - same) / 100), abs=1e-4)


@pytest.mark.parametrize("task", [SEGMENTATION, OTHER])
def test_one_channel_has_no_labels_and_is_compared_all_the_same(task: object) -> None:
    limits = int8_limits(task, DEPTH, program(1))  # type: ignore[arg-type]  # both are tasks
    assert set(limits.as_dict()) == {"sqnr_db", "reference_db"}


@pytest.mark.parametrize(("wrong", "passed"), [(0, True), (20, True), (21, False)])
def test_labels_are_compared_as_labels(wrong: int, passed: bool) -> None:
    floats = RNG.integers(0, 5, (2000, 1)).astype(np.int32)
    known = Known(floats, floats, (floats,))
    found = floats.copy()
    found[:wrong] += 1
    assert judge(SEGMENTATION, LABELS, int8_limits(SEGMENTATION, LABELS, known), known, found)[0] is passed


def test_a_constant_label_is_not_right_where_the_program_is_as_far_from_the_float_model() -> None:
    floats = np.zeros((2000, 1), np.int32)
    floats[:100] = 1  # 5 % of the picture
    reference = floats.copy()
    reference[50:150] = 1 - reference[50:150]
    known = Known(floats, reference, (reference,))
    limits = int8_limits(SEGMENTATION, LABELS, known)
    assert judge(SEGMENTATION, LABELS, limits, known, reference)[0] is True
    assert judge(SEGMENTATION, LABELS, limits, known, np.zeros_like(floats))[0] is False


def test_an_output_that_does_not_vary_is_right_within_a_step_of_it() -> None:
    constant = np.full((2000, 1), 0.9961, np.float32)
    known = Known(constant + np.float32(0.002), constant, step=1 / 256)
    assert is_right(DEPTH, known, constant) is True
    assert is_right(DEPTH, known, constant * 0) is False


def test_a_program_without_rounding_asks_no_more_than_float32_can() -> None:
    floats = outputs()
    known = Known(floats, floats, (floats,))
    assert int8_limits(OTHER, DEPTH, known).sqnr_db == HIGHEST_DB - INT8_MARGIN_DB
    assert is_right(DEPTH, known, floats * (1 + 1e-6)) is True


def test_booleans_are_values() -> None:
    floats = RNG.random((2000, 1)) < 0.5
    known = Known(*(values.as_numbers(floats),) * 2)
    assert judge(OTHER, DEPTH, Limits(relative=2e-5), known, floats)[0] is True
    assert judge(OTHER, DEPTH, Limits(relative=2e-5), known, ~floats)[0] is False


# --- limits as a manifest holds them --------------------------------------


def test_limits_travel_as_json() -> None:
    limits = int8_limits(CLASSIFICATION, SCORES, program(1000, 1))
    assert Limits.from_dict(json.loads(json.dumps(limits.as_dict()))) == limits
    assert set(limits.as_dict()) == {"sqnr_db", "reference_db", "most", "labels"}
    assert limits.reference_db is not None and limits.reference_db > ENOUGH_DB


def test_without_limits_nothing_was_compared() -> None:
    passed, detail = judge(OTHER, DEPTH, Limits(), program(1), program(1).reference)
    assert passed is None
    assert detail.startswith(values.NOT_COMPARED)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("limits", [Limits(relative=2e-5), Limits(sqnr_db=50), Limits()])
def test_one_value_that_is_no_number_fails(limits: Limits, bad: float) -> None:
    good = outputs()
    wrong = good.copy()
    wrong[500, 1] = bad
    for whose, known, found in (
        ("output", Known(good, good), wrong),
        ("reference", Known(good, wrong), good),
        ("float model", Known(wrong, good), good),
    ):
        passed, detail = judge(OTHER, LOGITS, limits, known, found)
        assert passed is False
        assert detail.startswith(f"the {whose} holds NaN" if np.isnan(bad) else "infinity is not where the reference has it")
        assert int8_limits(OTHER, LOGITS, known) == Limits() or whose == "output"


def test_fp16_that_overflows_says_what_to_take() -> None:
    good = outputs()
    wrong = np.where(good > 3, np.inf, good)
    assert judge(OTHER, LOGITS, Limits(sqnr_db=50), Known(good, good), wrong)[1].endswith("65504: take -p fp32")


def test_infinities_of_a_mask_are_right_where_the_reference_has_them() -> None:
    masked = outputs()
    masked[::3] = -np.inf
    simulated = noisy(outputs(), 60.0)
    simulated[::3] = -np.inf
    for limits in (exact_limits(masked, masked), half_limits(masked, simulated, 50.0)):
        assert judge(OTHER, LOGITS, limits, Known(masked, masked), masked.copy())[0] is True
        assert judge(OTHER, LOGITS, limits, Known(masked, masked), masked[::-1])[0] is False
    known = Known(masked, simulated, (simulated,))
    assert int8_limits(OTHER, LOGITS, known).sqnr_db == pytest.approx(60 - INT8_MARGIN_DB, abs=0.2)
    assert is_right(DEPTH, known, simulated) is True
