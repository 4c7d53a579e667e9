"""What ``quality`` says of an artifact on images: every pixel and value counts, and JSON can hold it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from onenet.base import metrics
from onenet.runtimes.quality import Quality, quality
from onenet.tasks.other import TASK as OTHER
from onenet.tasks.segmentation import TASK as SEGMENTATION
from onenet.tasks.segmentation import labels_of


def test_quality_counts_all_pixels_and_all_values() -> None:
    reference = np.zeros((2, 2, 4, 4), np.float32)
    reference[:, 1, :, 2:] = 2
    reference[:, 0] = 1
    found = reference.copy()
    found[0, 1, 0, 0] = 3  # one pixel of 32 changes its label
    truth = labels_of(reference, "logits").astype(np.uint8)
    result = quality(SEGMENTATION, "logits", reference, found, truth, 2)
    assert result.images == 2
    assert result.label_agreement == 31 / 32
    assert result.sqnr_db == pytest.approx(10 * np.log10((32 + 16 * 4) / 9))
    assert result.float_scores["miou"] == 1.0
    assert result.scores["miou"] == pytest.approx((15 / 16 + 16 / 17) / 2)
    assert result.float_scores["dice"] == 1.0
    assert result.scores["dice"] == pytest.approx((30 / 31 + 32 / 33) / 2)
    assert (result.float_scores["map50"], result.scores["map50"]) == (1.0, 1.0)


@pytest.mark.parametrize("role", ["logits", "probabilities", "labels"])
def test_quality_against_masks_is_the_same_for_every_kind_of_output(role: str) -> None:
    rng = np.random.default_rng(0)
    reference, found = (rng.normal(0, 2, (6, 3, 8, 8)).astype(np.float32) for _ in range(2))
    truth = np.where(rng.random((6, 8, 8)) < 0.8, reference.argmax(1), 0).astype(np.uint8)
    of = {"logits": lambda v: v, "probabilities": lambda v: softmax(v), "labels": lambda v: v.argmax(1).astype(np.int32)}[role]
    result = quality(SEGMENTATION, role, of(reference), of(found), truth, 3)
    table = metrics.confusion(truth, found.argmax(1), 3)
    assert (result.scores["miou"], result.scores["dice"]) == (metrics.mean_iou(table), metrics.mean_dice(table))
    precision = metrics.AveragePrecision(3)
    precision.add(truth, reference.argmax(1), None if role == "labels" else softmax(reference).max(1))
    assert result.float_scores["map50"] == pytest.approx(precision.mean())
    assert result.scores["map50"] < result.float_scores["map50"]


def softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def test_quality_of_an_output_that_overflows_is_valid_json() -> None:
    reference = np.ones((1, 2, 2, 2), np.float32)
    found = reference.copy()
    found[0, 1, 0, 0] = np.nan
    result = quality(SEGMENTATION, "logits", reference, found, np.zeros((1, 2, 2), np.uint8), 2)
    document = json.loads(json.dumps(result.as_dict(), allow_nan=False))
    assert document["sqnr_db"] is None
    assert document["label_agreement"] == 0.75


def test_quality_of_labels_and_of_other_outputs() -> None:
    labels = np.arange(16).reshape(1, 4, 4) % 3
    assert quality(SEGMENTATION, "labels", labels, labels, None, 3) == Quality(1, None, 1.0)
    embedding = np.ones((5, 7), np.float32)
    assert quality(OTHER, "scores", embedding, embedding * 2, None, 0) == Quality(5, 0.0, None)


def test_quality_is_valid_json_even_where_outputs_are_equal() -> None:
    result = quality(SEGMENTATION, "logits", np.ones((1, 2, 2, 2)), np.ones((1, 2, 2, 2)), None, 2)
    assert result.sqnr_db == float("inf")
    assert json.loads(json.dumps(result.as_dict(), allow_nan=False))["sqnr_db"] == 999.0


def test_documents_keep_one_name_for_each_figure_and_its_float_twin() -> None:
    result = Quality(7, 30.0, 0.5, {"miou": 0.25, "top5_agreement": 1.0}, {"miou": 0.75})
    assert result.as_dict() == {
        "images": 7,
        "sqnr_db": 30.0,
        "label_agreement": 0.5,
        "miou_float": 0.75,
        "miou": 0.25,
        "top5_agreement": 1.0,
    }
