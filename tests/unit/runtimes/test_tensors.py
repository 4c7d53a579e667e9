"""Values as artifacts store them, and feeds that fit."""

from __future__ import annotations

import numpy as np
import pytest

from onenet.errors import RequestError
from onenet.runtimes.tensors import check_feeds, dequantize, quantize
from onenet.spec import TensorSpec

STORED = TensorSpec("x", "image", (1, 4), dtype="int8", scale=0.5, zero_point=10)
FLOAT = TensorSpec("x", "image", (1, -1))


def test_halves_round_to_even_and_the_range_is_kept() -> None:
    values = np.array([[0.25, 0.75, 1000, -1000]], np.float32)
    assert quantize(values, STORED).tolist() == [[10, 12, 127, -128]]
    assert quantize(values, FLOAT) is values


def test_back_again() -> None:
    stored = np.array([[10, 12, 127, -128]], np.int8)
    assert dequantize(stored, STORED).tolist() == [[0.0, 1.0, 58.5, -69.0]]
    assert dequantize(np.ones(2, np.float16), FLOAT).dtype == np.float32
    assert dequantize(np.ones(2, np.int32), FLOAT).dtype == np.int32


def test_nothing_stands_for_nan() -> None:
    with pytest.raises(RequestError, match="input x holds NaN"):
        quantize(np.array([[np.nan] * 4], np.float32), STORED)


@pytest.mark.parametrize(
    ("feeds", "says"),
    [
        ({}, "takes inputs x; found none"),
        ({"y": np.zeros((1, 4), np.float32)}, "takes inputs x; found y"),
        ({"x": np.zeros((2, 4), np.float32)}, r"float32 1x\?; found float32 2x4"),
        ({"x": np.zeros((1, 4), np.float64)}, "found float64"),
    ],
)
def test_feeds_that_do_not_fit(feeds: dict[str, np.ndarray], says: str) -> None:
    with pytest.raises(RequestError, match=says):
        check_feeds(feeds, (FLOAT,))
    check_feeds({"x": np.zeros((1, 9), np.float32)}, (FLOAT,))
