"""The charts of the page."""

from __future__ import annotations

from onenet.runtimes.report import charts
from onenet.runtimes.report.charts import Point


def point(x: float, y: float) -> Point:
    return Point(f"{x} {y}", x, y, "tflite", "int8", "")


def test_the_pareto_front() -> None:
    points = [point(1, 1), point(2, 2), point(3, 2), point(3, 1), point(2, 2), point(4, 3)]
    assert [each.front for each in charts.pareto(points)] == [True, True, False, False, True, True]


def test_charts_do_without_variation() -> None:
    drawn = [charts.scatter([point(1, 1), point(1, 1)], "x", "y"), charts.shape([[1.0] * 10] * 3, -0.02, 0.05, "tflite")]
    drawn += [charts.shape([[0.0]], *charts.shape_range([[[0.0]]]), "onnx"), charts.bar(0, 0, 0, 1, "coreml")]
    assert all("nan" not in each for each in drawn)
