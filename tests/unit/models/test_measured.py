"""What was measured of the models travels with the package."""

from __future__ import annotations

from onenet.models import REGISTRY, measured


def test_cells_are_sizes_then_times() -> None:
    found = {"tflite fp32": [1_500_000, 2.04], "onnx int8": [400_000, 7.0]}
    assert measured.cells(found) == ("1.50", "-", "-", "0.40", "2.0", "-", "-", "7.0")
    assert len(measured.HEADS) == len(measured.cells({}))


def test_what_was_measured_is_of_the_registry_and_whole() -> None:
    content = measured.read()
    assert content["machine"] and content["models"]
    assert {name.partition(",")[0] for name in content["models"]} <= set(REGISTRY)
    assert [name for name, found in content["models"].items() if "-" in measured.cells(found)] == []
