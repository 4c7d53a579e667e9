"""How far two outputs are apart. numpy only.

Every measure is taken over all values or pixels of a set at once, not averaged over images: an image that holds little
of a class does not count as much as one that is full of it. Only ``AveragePrecision`` counts images.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onenet.base.arrays import Array, paired
from onenet.errors import RequestError

RECALLS = np.linspace(0, 1, 101)
"""Where COCO's average precision reads the precision."""


def sqnr_db(reference: Array, test: Array) -> float:
    """Signal to quantization noise ratio in dB: 10 log10(sum reference² / sum (reference - test)²).

    Infinite where both are equal; -inf where the reference is zero throughout and the other is not.

    Raises:
        RequestError: the shapes differ, or there are no values.
    """
    check_same(reference, test)
    signal = np.asarray(reference, np.float64)
    noise = float(np.square(signal - np.asarray(test, np.float64)).sum())
    power = float(np.square(signal).sum())
    if noise == 0.0:
        return float("inf")
    return float(10 * np.log10(power / noise)) if power else float("-inf")


def label_agreement(a: Array, b: Array) -> float:
    """Share of equal labels: (number of places where a = b) / (number of places).

    Raises:
        RequestError: the shapes differ, or there are no labels.
    """
    check_same(a, b)
    return float(np.mean(np.equal(a, b)))


def confusion(truth: Array, predicted: Array, classes: int) -> NDArray[np.int64]:
    """(K, K) counts: row t, column p holds the pixels of true class t that were predicted as p.

    Add the matrices of several batches to score them as one set.

    Raises:
        RequestError: the shapes differ, there are no labels, or a label is not in 0..K-1.
    """
    check_same(truth, predicted)
    for kind, labels in (("truth", truth), ("predicted", predicted)):
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= classes:
            found = low if low < 0 else high
            raise RequestError(f"{kind} holds label {found}; {classes} classes have labels 0..{classes - 1}")
    pairs = truth.astype(np.int64).ravel() * classes + predicted.astype(np.int64).ravel()
    return np.bincount(pairs, minlength=classes**2).astype(np.int64).reshape(classes, classes)


def iou(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """(K,) intersection over union per class: TP / (TP + FP + FN); NaN for a class that neither side holds."""
    hits, true, predicted = counts(confusion)
    return ratio(hits, true + predicted - hits)


def mean_iou(confusion: NDArray[np.int64]) -> float:
    """Mean of ``iou`` over the classes that at least one side holds; NaN for an empty matrix."""
    return mean(iou(confusion))


def dice(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """(K,) Dice coefficient (F1) per class: 2 TP / (2 TP + FP + FN); NaN for a class that neither side holds."""
    hits, true, predicted = counts(confusion)
    return ratio(2 * hits, true + predicted)


def mean_dice(confusion: NDArray[np.int64]) -> float:
    """Mean of ``dice`` over the classes that at least one side holds; NaN for an empty matrix."""
    return mean(dice(confusion))


class AveragePrecision:
    """AP and mAP at an IoU of 0.5 of semantic masks: COCO's, of at most one region per image and class.

    The paper (arXiv 2411.09838, section 4.1) reports "mean average precision with an IOU threshold of 0.5" and does not say
    what an instance is; no number here can be compared with its tables. Here:

    * The pixels predicted as class k in one image are one detection, wherever they lie. Its score is the mean probability of
      k over these pixels, or 1 where only labels are known. The pixels of true class k in that image are the one region that
      it can find, and it does where intersection / union >= 0.5. An image without predicted (true) pixels of k has no
      detection (region) of k.
    * All classes count, background too, as in ``mean_iou``, ``mean_dice`` and the official code.
    * AP is COCO's (Lin et al. 2014; pycocotools): precision made non-increasing in recall, averaged over the recalls 0, 0.01,
      ... 1. mAP is the mean over the classes that are true anywhere; a class that is only predicted has no recall.
    * Detections of equal score enter together, so that the order of the images does not matter; pycocotools takes them in
      the order given. With distinct scores both give the same number.

    The official code's figure of this name is not this: it gives |truth| / |prediction| of each class whose IoU reaches the
    threshold and 0 to the others, which can exceed 1.
    """

    def __init__(self, classes: int) -> None:
        self.regions = np.zeros(classes, np.int64)
        self.detections: list[list[tuple[float, bool]]] = [[] for _ in range(classes)]

    def add(self, truth: Array, predicted: Array, confidence: Array | None = None) -> None:
        """Count a batch of images: labels (N, H, W) twice, and the probability of each predicted label, (N, H, W).

        Raises:
            RequestError: the shapes differ, there are no labels, or a label is not in 0..K-1.
        """
        check_same(truth, predicted)
        classes = len(self.regions)
        sure = np.ones(predicted.shape, np.float32) if confidence is None else confidence
        check_same(predicted, sure)
        for each_truth, each_predicted, each_sure in paired(truth, predicted, sure):
            hits, true, found = counts(confusion(each_truth, each_predicted, classes))
            total = np.bincount(each_predicted.ravel(), each_sure.ravel(), minlength=classes)
            self.regions += true > 0
            for k in np.flatnonzero(found):
                self.detections[k].append((total[k] / found[k], bool(2 * hits[k] >= true[k] + found[k] - hits[k])))

    def per_class(self) -> NDArray[np.float64]:
        """(K,) AP per class; NaN for a class that is true nowhere."""
        pairs = paired(self.detections, self.regions.tolist())
        return np.array([average_precision(found, regions) for found, regions in pairs])

    def mean(self) -> float:
        """mAP@0.5: mean of ``per_class`` over the classes that are true anywhere; NaN before the first image."""
        return mean(self.per_class())


def average_precision(detections: list[tuple[float, bool]], regions: int) -> float:
    """COCO's AP of (score, whether it finds its region), of so many regions; NaN where there are none."""
    if not regions:
        return float("nan")
    if not detections:
        return 0.0
    scores, found = (np.array(column) for column in paired(*detections))
    order = np.argsort(-scores)
    scores, hits = scores[order], np.cumsum(found[order])
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)  # of each group of equal scores
    recall, precision = hits[last] / regions, hits[last] / (last + 1)
    envelope = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)  # 0: recalls that are never reached
    return float(envelope[np.searchsorted(recall, RECALLS)].mean())


def confidence_of(logits: Array) -> NDArray[np.float32]:
    """(N, H, W) softmax probability of the largest of (N, K, H, W) logits, which is the probability of the predicted label."""
    largest = logits.max(1, keepdims=True)
    result: NDArray[np.float32] = 1 / np.exp(logits - largest, dtype=np.float32).sum(1)
    return result


def binary_confidence(probability: Array, labels: Array) -> NDArray[np.float32]:
    """Probability of each label 0 or 1, given that of 1; both of one shape."""
    result: NDArray[np.float32] = np.where(labels > 0, probability, 1 - probability).astype(np.float32)
    return result


def sigmoid(values: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow."""
    small: Array = np.exp(-np.abs(values), dtype=np.float32)
    result: Array = np.where(values >= 0, 1 / (1 + small), small / (1 + small))
    return result


def counts(confusion: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(K,) each: TP, TP + FN, TP + FP."""
    return np.diagonal(confusion), confusion.sum(1), confusion.sum(0)


def ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    """Part over whole, (K,); NaN where the whole is 0."""
    result = np.full(len(whole), np.nan)
    np.divide(part, whole, out=result, where=whole > 0)
    return result


def mean(values: NDArray[np.float64]) -> float:
    """Mean of the values that are no NaN; NaN where there are none."""
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else float("nan")


def check_same(a: Array, b: Array) -> None:
    """Refuse tensors of two shapes, and empty ones, with a RequestError."""
    if a.shape != b.shape:
        raise RequestError(f"only tensors of one shape compare; found {a.shape} and {b.shape}")
    if a.size == 0:
        raise RequestError(f"there is nothing to compare: both tensors have shape {a.shape}")
