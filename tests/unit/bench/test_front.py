"""The deployment front: which rows are dominated, and what the page, the picture and the package show of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.front import __main__ as command
from bench.front import page, rank
from onenet.models import measured

MACHINE = {"cpu": "CPU", "flags": ["avx512_vnni"], "cores": 2, "own_versions": {"ai-edge-litert": "1", "onnxruntime": "2"}}


def row(precision: str, ms: float | None, size: int, iou: float | None, sqnr: float, target: str = "tflite") -> dict[str, Any]:
    costs = {} if ms is None else {"ms": ms, "memory_bytes": 10 * size}
    return {"target": target, "precision": precision, "bytes": size, "iou": iou, "sqnr_db": sqnr, "reason": None, **costs}


def entry(name: str, trained: bool, rows: list[dict[str, Any]], runs: int = 1) -> dict[str, Any]:
    facts = {
        "key": name if trained else f"{name}, published",
        "model": name,
        "trained": trained,
        "images": 70,
        "config": {"width": 8},
    }
    return {**facts, "runs_per_image": runs, "float_iou": 0.9 if trained else None, "machine": MACHINE, "rows": rows}


@pytest.fixture
def document() -> dict[str, Any]:
    """Of trained models: ``unet4`` is slow and good, ``onenet-ed4`` fast, ``segone`` worst and slow in its 4 steps."""
    good = [row("fp32", 20.0, 2_000_000, 0.88, 120.0), row("int8", 10.0, 500_000, 0.87, 30.0)]
    fast = [row("fp32", 6.0, 3_600_000, 0.80, 120.0), row("int8", 4.0, 900_000, 0.79, 30.0)]
    steps = [row("fp32", 5.0, 4_000_000, 0.70, 120.0)]
    random = [
        row("fp32", 50.0, 90_000_000, None, 120.0),
        row("int8", 20.0, 22_000_000, None, 25.0),
        row("int8", 30.0, 23_000_000, None, 24.0, "onnx"),
    ]
    untimed = [{"target": "tflite", "precision": "fp32", "reason": "it does not fit"}]
    models = [entry("onenet-ed4", True, fast), entry("unet4", True, good), entry("segone", True, steps, runs=4)]
    return {"schema": 1, "models": [*models, entry("unet4", False, random), entry("unet5", False, untimed)]}


def test_a_row_is_dominated_where_another_is_no_worse_in_both_and_better_in_one() -> None:
    rows = [{"q": 1, "c": 1}, {"q": 2, "c": 2}, {"q": 2, "c": 3}, {"q": 1, "c": 2}, {"q": 1, "c": 1}, {"q": 0, "c": 1}]
    assert rank.kept(rows, "q", "c") == [{"q": 2, "c": 2}, {"q": 1, "c": 1}, {"q": 1, "c": 1}]


def test_a_denoisers_image_takes_all_its_steps(document: dict[str, Any]) -> None:
    assert [each["ms"] for each in rank.points(document) if each["model"] == "segone"] == [20.0]


def test_trained_models_compete_by_accuracy_and_others_with_themselves_only(document: dict[str, Any]) -> None:
    rows = rank.points(document)
    good = {(rows[k]["key"], rows[k]["target"], rows[k]["precision"]) for k in rank.on_a_front(rows)}
    assert good == {
        ("onenet-ed4", "tflite", "fp32"),  # by latency
        ("onenet-ed4", "tflite", "int8"),
        ("unet4", "tflite", "fp32"),
        ("unet4", "tflite", "int8"),
        ("unet4, published", "tflite", "fp32"),
        ("unet4, published", "tflite", "int8"),
    }


def test_the_page_has_every_row_and_every_reason(document: dict[str, Any]) -> None:
    text = page.page(document)
    assert "| `unet4` | tflite | int8 | 0.8700 | 30.0 | 0.50 | 10.00 | 5 | ✓ |" in text
    assert "| `segone` | tflite | fp32 | 0.7000 | 120.0 | 4.00 | 5.00 | 40 |  |" in text
    assert "| `unet4` | onnx | int8 | – | 24.0 | 23.00 | 30.00 | 230 |  |" in text
    assert "* unet5, published, tflite fp32: it does not fit\n" in text
    assert "of 70 validation images" in " ".join(text.split())


def test_the_picture_is_800_pixels_wide_and_greys_what_is_dominated(document: dict[str, Any], tmp_path: Path) -> None:
    def grey(content: dict[str, Any]) -> int:
        page.draw(content, tmp_path / "front.png")
        with Image.open(tmp_path / "front.png") as picture:
            assert picture.width == 800
            pixels = np.asarray(picture.convert("RGB"))
        return int((pixels == [int(page.GREY[i : i + 2], 16) for i in (1, 3, 5)]).all(-1).sum())

    before = grey(document)
    document["models"][2]["rows"][0]["iou"] = 0.99  # now it is the best
    assert grey(document) < before


def test_what_travels_with_the_package(document: dict[str, Any]) -> None:
    found = json.loads(json.dumps(page.measured(document)))
    assert found["models"]["unet4, published"]["tflite int8"] == [22_000_000, 20.0]
    assert measured.cells(found["models"]["unet4, published"]) == ("90.00", "22.00", "-", "23.00", "50.0", "20.0", "-", "30.0")
    assert list(found["models"]) == ["onenet-ed4, width 8", "unet4, width 8", "segone, width 8", "unet4, published"]
    assert found["machine"] == "CPU with AVX-512 VNNI, 2 cores, ai-edge-litert 1, onnxruntime 2"


def test_what_is_kept_stands_in_the_registrys_order(document: dict[str, Any], tmp_path: Path) -> None:
    store = command.Store(tmp_path / "front.json")
    for each in reversed(document["models"]):
        store.keep(each)
    again = command.Store(tmp_path / "front.json").document["models"]
    names = ["onenet-ed4", "unet4", "segone", "unet4, published", "unet5, published"]
    assert [each["key"] for each in again] == names
    store.keep(entry("unet4", True, []))
    assert len(command.Store(tmp_path / "front.json").entries) == 5
