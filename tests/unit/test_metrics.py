"""The measures against their definitions, computed pixel by pixel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from onenet.errors import RequestError
from onenet.runtimes import metrics

SEEDS = range(12)


def random_labels(seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Truth and prediction (N, H, W) that agree on about half of the pixels; often without one of the classes."""
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(1, 6))
    shape = tuple(rng.integers(1, 6, 3))
    truth = rng.integers(0, max(1, classes - seed % 2), shape)
    noise = rng.integers(0, max(1, classes - seed % 2), shape)
    return truth, np.where(rng.random(shape) < 0.5, truth, noise), classes


def pixel_sets(labels: NDArray[Any], wanted: int) -> set[int]:
    return {place for place, label in enumerate(labels.ravel().tolist()) if label == wanted}


@pytest.mark.parametrize("seed", SEEDS)
def test_confusion_counts_every_pixel_once(seed: int) -> None:
    truth, predicted, classes = random_labels(seed)
    expected = [[0] * classes for _ in range(classes)]
    for t, p in zip(truth.ravel().tolist(), predicted.ravel().tolist(), strict=True):
        expected[t][p] += 1
    found = metrics.confusion(truth, predicted, classes)
    assert found.dtype == np.int64
    assert found.tolist() == expected


@pytest.mark.parametrize("seed", SEEDS)
def test_iou_and_dice_follow_their_set_definitions(seed: int) -> None:
    truth, predicted, classes = random_labels(seed)
    matrix = metrics.confusion(truth, predicted, classes)
    ious, dices = [], []
    for k in range(classes):
        a, b = pixel_sets(truth, k), pixel_sets(predicted, k)
        ious.append(len(a & b) / len(a | b) if a | b else math.nan)
        dices.append(2 * len(a & b) / (len(a) + len(b)) if a or b else math.nan)
    assert metrics.iou(matrix).tolist() == pytest.approx(ious, nan_ok=True)
    assert metrics.dice(matrix).tolist() == pytest.approx(dices, nan_ok=True)
    assert metrics.mean_iou(matrix) == pytest.approx(np.mean([v for v in ious if v == v]))
    assert metrics.mean_dice(matrix) == pytest.approx(np.mean([v for v in dices if v == v]))


def test_dice_is_a_function_of_iou() -> None:
    matrix = metrics.confusion(*random_labels(4))
    ious = metrics.iou(matrix)
    assert metrics.dice(matrix) == pytest.approx(2 * ious / (1 + ious), nan_ok=True)


def test_a_class_that_neither_side_holds_is_left_out_of_the_mean() -> None:
    truth = np.array([0, 0, 1, 1])
    matrix = metrics.confusion(truth, truth, 3)
    assert math.isnan(metrics.iou(matrix)[2])
    assert metrics.mean_iou(matrix) == metrics.mean_dice(matrix) == 1.0


def test_a_class_that_only_the_prediction_holds_counts_as_zero() -> None:
    matrix = metrics.confusion(np.array([0, 0]), np.array([0, 1]), 2)
    assert metrics.iou(matrix).tolist() == [0.5, 0.0]


def test_an_empty_matrix_has_no_mean() -> None:
    empty = np.zeros((2, 2), np.int64)
    assert math.isnan(metrics.mean_iou(empty))
    assert math.isnan(metrics.mean_dice(empty))


def test_scores_are_over_the_pixels_of_the_set_not_the_mean_of_images() -> None:
    truth = np.array([[1, 0, 0, 0], [1, 1, 1, 1]])
    predicted = np.array([[0, 0, 0, 0], [1, 1, 1, 1]])
    parts = [metrics.confusion(t, p, 2) for t, p in zip(truth, predicted, strict=True)]
    whole = metrics.confusion(truth, predicted, 2)
    assert (parts[0] + parts[1] == whole).all()
    assert metrics.iou(whole)[1] == 0.8
    assert np.mean([metrics.iou(part)[1] for part in parts]) == 0.5


@pytest.mark.parametrize("seed", SEEDS)
def test_sqnr_follows_its_formula(seed: int) -> None:
    rng = np.random.default_rng(seed)
    reference = rng.normal(0, 3, (2, 3, 4)).astype(np.float32)
    test = reference + rng.normal(0, 0.1, reference.shape).astype(np.float32)
    pairs = list(zip(reference.ravel().tolist(), test.ravel().tolist(), strict=True))
    expected = 10 * math.log10(sum(r * r for r, _ in pairs) / sum((r - t) ** 2 for r, t in pairs))
    assert metrics.sqnr_db(reference, test) == pytest.approx(expected)


def test_sqnr_of_a_known_ratio() -> None:
    reference = np.full(100, 10.0)
    assert metrics.sqnr_db(reference, reference + 0.1) == pytest.approx(40.0)


def test_sqnr_does_not_overflow_in_half_precision() -> None:
    reference = np.full(4, 60000, np.float16)
    assert metrics.sqnr_db(reference, reference / 2) == pytest.approx(20 * math.log10(2))


def test_sqnr_at_its_ends() -> None:
    values = np.array([1.0, -2.0])
    assert metrics.sqnr_db(values, values) == math.inf
    assert metrics.sqnr_db(np.zeros(2), np.zeros(2)) == math.inf
    assert metrics.sqnr_db(np.zeros(2), values) == -math.inf


def test_label_agreement_is_the_share_of_equal_labels() -> None:
    a, b = np.array([[0, 1], [2, 3]], np.uint8), np.array([[0, 1], [2, 0]], np.int64)
    assert metrics.label_agreement(a, b) == 0.75


@pytest.mark.parametrize("measure", [metrics.sqnr_db, metrics.label_agreement, lambda a, b: metrics.confusion(a, b, 2)])
def test_shapes_must_be_equal_and_not_empty(measure: Any) -> None:
    with pytest.raises(RequestError, match=r"\(2, 1\) and \(2,\)"):  # these would broadcast
        measure(np.zeros((2, 1), int), np.zeros(2, int))
    with pytest.raises(RequestError, match="nothing to compare"):
        measure(np.zeros(0, int), np.zeros(0, int))


@pytest.mark.parametrize(("truth", "predicted", "text"), [([0, 255], [0, 1], "truth .* 255"), ([0, 1], [0, -1], "-1")])
def test_a_label_without_a_class_is_named(truth: list[int], predicted: list[int], text: str) -> None:
    with pytest.raises(RequestError, match=text):
        metrics.confusion(np.array(truth), np.array(predicted), 2)
