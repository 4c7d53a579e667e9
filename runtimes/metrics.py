"""How far two outputs are apart. numpy only.

Every measure is taken over all values or pixels of a set at once, not averaged over images: an image that holds little
of a class does not count as much as one that is full of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from onenet.errors import RequestError

Array = NDArray[Any]


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


def counts(confusion: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(K,) each: TP, TP + FN, TP + FP."""
    return np.diagonal(confusion), confusion.sum(1), confusion.sum(0)


def ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    result = np.full(len(whole), np.nan)
    np.divide(part, whole, out=result, where=whole > 0)
    return result


def mean(values: NDArray[np.float64]) -> float:
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else float("nan")


def check_same(a: Array, b: Array) -> None:
    if a.shape != b.shape:
        raise RequestError(f"only tensors of one shape compare; found {a.shape} and {b.shape}")
    if a.size == 0:
        raise RequestError(f"there is nothing to compare: both tensors have shape {a.shape}")
