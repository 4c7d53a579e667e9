"""The measures against their definitions, computed pixel by pixel, and against scikit-learn and pycocotools."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import onenet
from onenet.base import metrics
from onenet.calibration.samples import default_evaluation
from onenet.errors import RequestError

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


# --- against other people's implementations -------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_iou_and_dice_are_scikit_learn_s(seed: int) -> None:
    reference = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed; it comes with onenet-export[dev]")
    truth, predicted, classes = random_labels(seed)
    matrix = metrics.confusion(truth, predicted, classes)
    present = sorted({*truth.ravel().tolist(), *predicted.ravel().tolist()})
    options = dict(labels=present, average=None, zero_division=0)
    for ours, theirs in ((metrics.iou, reference.jaccard_score), (metrics.dice, reference.f1_score)):
        assert ours(matrix)[present] == pytest.approx(theirs(truth.ravel(), predicted.ravel(), **options))
        assert np.isnan(np.delete(ours(matrix), present)).all()


def cocos_ap(truth: NDArray[Any], predicted: NDArray[Any], sure: NDArray[Any], classes: int) -> list[float]:
    """AP at IoU 0.5 per class from pycocotools, NaN where it says -1: a mask per image and class, scored by its mean."""
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed; it comes with onenet-export[dev]")
    mask = pytest.importorskip("pycocotools.mask")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    regions, detections = [], []
    for image in range(len(truth)):
        for k in range(classes):
            true, found = ((labels[image] == k) for labels in (truth, predicted))
            entry = {"image_id": image, "category_id": k + 1}
            if true.any():
                rle = mask.encode(np.asfortranarray(true, np.uint8))
                regions.append({**entry, "id": len(regions) + 1, "segmentation": rle, "area": int(true.sum()), "iscrowd": 0})
            if found.any():
                rle = mask.encode(np.asfortranarray(found, np.uint8))
                detections.append({**entry, "segmentation": rle, "score": float(sure[image][found].mean(dtype=np.float64))})
    truths = coco.COCO()
    truths.dataset = {
        "info": {},
        "images": [{"id": image, "height": truth.shape[1], "width": truth.shape[2]} for image in range(len(truth))],
        "categories": [{"id": k + 1} for k in range(classes)],
        "annotations": regions,
    }
    truths.createIndex()
    run = evaluation.COCOeval(truths, truths.loadRes(detections), "segm")
    run.params.iouThrs = np.array([0.5])
    run.evaluate()
    run.accumulate()
    values = run.eval["precision"][0, :, :, 0, -1].mean(0)  # threshold, recall, class, area: all, detections: 100
    return [math.nan if value < 0 else float(value) for value in values]


def random_images(seed: int) -> tuple[NDArray[np.int64], NDArray[np.float32], int]:
    """Masks (N, H, W) of a few rectangles and logits (N, K, H, W) that get about half of the regions right."""
    rng = np.random.default_rng(seed)
    classes, images, side = int(rng.integers(2, 6)), int(rng.integers(1, 30)), 12
    truth = np.zeros((images, side, side), np.int64)
    for labels in truth:
        for k in range(1, classes - seed % 2):  # every second seed has a class that is true nowhere
            if rng.random() < 0.7:
                top, left = rng.integers(0, side - 2, 2)
                labels[top : top + rng.integers(1, side), left : left + rng.integers(1, side)] = k
    shifts = rng.integers(0, 5, images)
    moved = np.stack([np.roll(labels, shift, 1) for labels, shift in zip(truth, shifts, strict=True)])
    logits = rng.normal(0, 1, (images, classes, side, side)) + 2.5 * np.moveaxis(np.eye(classes)[moved], -1, 1)
    return truth, logits.astype(np.float32), classes


def precision_of(truth: NDArray[Any], logits: NDArray[Any], classes: int, order: Any = None) -> metrics.AveragePrecision:
    found = metrics.AveragePrecision(classes)
    order = np.arange(len(truth)) if order is None else order
    for part in np.array_split(order, min(3, len(order))):  # batches, as a stream of them would come
        found.add(truth[part], logits[part].argmax(1), metrics.confidence_of(logits[part]))
    return found


@pytest.mark.parametrize("seed", range(40))
def test_average_precision_is_pycocotools_on_random_images(seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    truth, logits, classes = random_images(seed)
    found = precision_of(truth, logits, classes)
    expected = cocos_ap(truth, logits.argmax(1), metrics.confidence_of(logits), classes)
    capsys.readouterr()  # it prints
    assert found.per_class().tolist() == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert found.mean() == pytest.approx(np.nanmean(expected))


def test_average_precision_is_pycocotools_on_real_predictions(capsys: pytest.CaptureFixture[str]) -> None:
    model = onenet.build("onenet-ed4")
    images = onenet.load_labelled(default_evaluation(), *model.spec.inputs[0].shape[2:])
    with torch.no_grad():
        logits = model.module(torch.from_numpy(images.samples.arrays)).numpy()
    # Without a bias, one image's nuclei are missed; with one towards nuclei, towards background, more.
    results = []
    for bias in (0.0, 6.0, 9.0, -6.0):
        biased = logits + np.array([0, bias], np.float32)[:, None, None]
        found = precision_of(images.labels, biased, 2)
        expected = cocos_ap(images.labels, biased.argmax(1), metrics.confidence_of(biased), 2)
        assert found.per_class().tolist() == pytest.approx(expected, abs=1e-12)
        results.append(found.mean())
    capsys.readouterr()
    assert len(set(results)) == 4
    assert max(results) == results[0]


# --- average precision ----------------------------------------------------


def test_the_order_of_the_images_does_not_matter_even_where_scores_are_equal() -> None:
    truth, logits, classes = random_images(3)
    predicted = logits.argmax(1)
    expected, results = precision_of(truth, logits, classes).mean(), set()
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(truth))
        assert precision_of(truth, logits, classes, order).mean() == expected
        labels_only = metrics.AveragePrecision(classes)
        labels_only.add(truth[order], predicted[order])
        results.add(labels_only.mean())
    assert len(results) == 1


def test_average_precision_by_hand() -> None:
    """Four images, one class of interest: found (0.9), missed with a detection (0.8), found (0.7), missed without one."""
    truth = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]])[:, None]
    predicted = np.array([[1, 0, 0, 0], [0, 0, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]])[:, None]  # the first: an IoU of 0.5
    sure = np.array([0.9, 0.8, 0.7, 1.0])[:, None, None] * np.ones((1, 1, 4))
    found = metrics.AveragePrecision(2)
    found.add(truth, predicted, sure)
    # Precision 1 up to a recall of 1/4 (26 of 101 recalls), 2/3 up to 2/4 (25), and nothing beyond.
    assert found.per_class()[1] == pytest.approx((26 + 25 * 2 / 3) / 101)


def test_classes_that_one_side_does_not_hold() -> None:
    zeros, ones = np.zeros((1, 1, 4), int), np.ones((1, 1, 4), int)
    found = metrics.AveragePrecision(4)
    assert math.isnan(found.mean())
    found.add(zeros, ones)
    values = found.per_class().tolist()
    assert values[0] == 0.0  # true, and never found
    assert all(math.isnan(value) for value in values[1:])  # 1: predicted and never true; 2, 3: neither
    assert found.mean() == 0.0
    found.add(zeros, zeros)
    assert found.mean() == pytest.approx(51 / 101)  # recall 1/2 at precision 1


def test_confidence_is_the_softmax_of_the_predicted_class() -> None:
    logits = np.random.default_rng(0).normal(0, 30, (2, 3, 4, 5)).astype(np.float32)
    expected = torch.from_numpy(logits).softmax(1).amax(1).numpy()
    assert metrics.confidence_of(logits) == pytest.approx(expected)


def test_what_average_precision_refuses() -> None:
    found = metrics.AveragePrecision(2)
    with pytest.raises(RequestError, match="one shape"):
        found.add(np.zeros((1, 2, 2), int), np.zeros((1, 2, 3), int))
    with pytest.raises(RequestError, match="one shape"):
        found.add(np.zeros((1, 2, 2), int), np.zeros((1, 2, 2), int), np.ones((1, 2)))
    with pytest.raises(RequestError, match="2 classes have labels"):
        found.add(np.zeros((1, 2, 2), int), np.full((1, 2, 2), 2))
