"""Axes and their marks."""

from __future__ import annotations

import pytest

from onenet.runtimes.report import svg


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 10, [0, 2, 4, 6, 8, 10]), (0.8677, 0.8684, [0.8678, 0.868, 0.8682, 0.8684]), (-3, 41, [0, 10, 20, 30, 40])],
)
def test_ticks_are_round_numbers(low: float, high: float, expected: list[float]) -> None:
    assert svg.ticks(low, high, 6 if high == 10 else 5) == pytest.approx(expected)


@pytest.mark.parametrize(("low", "high"), [(1e-9, 1e9), (0.9, 1.1), (-5e5, 3), (7, 7.000001)])
def test_there_are_never_many_ticks(low: float, high: float) -> None:
    assert 1 <= len(svg.ticks(low, high)) <= 6


@pytest.mark.parametrize("values", [[0.0, 0.0], [5.0], [1e-6, 1e9], [3.0, 3.0, 3.0], [-10.0, 140.0]])
def test_axes_take_any_numbers(values: list[float]) -> None:
    scale = svg.axis(values, 0, 100, logarithmic=True)
    assert all(-5 <= scale(value) <= 105 for value in values)
    assert scale.ticks()
