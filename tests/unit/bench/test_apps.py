"""The comparison of the apps: what is counted, and how the page says it. The apps themselves are tested with devices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import apps
from onenet.spec import numbered_classes
from onenet.tasks.segmentation import Mask

CLASSES = numbered_classes(3)


def mask(labels: list[list[int]]) -> Mask:
    return Mask(np.array(labels, np.uint8), CLASSES)


def test_labels_are_counted_over_all_pixels() -> None:
    masks = [mask([[0, 1], [2, 0]]), mask([[1]])]
    found = [np.array([[0, 1], [2, 1]], np.uint8), np.array([[1]], np.uint8)]
    assert apps.agreement(masks, found) == {"labels": pytest.approx(0.8), "worst": 0.75}
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        apps.agreement(masks, found[:1])


def test_labels_are_read_off_an_overlay(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    labels = np.random.default_rng(1).integers(0, 3, (6, 5), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    drawn = Mask(labels, CLASSES).overlay(pixels)
    drawn[0, 0] = 255 - pixels[0, 0]  # the colour of no class
    Image.fromarray(drawn).save(tmp_path / "drawn.png")
    found = apps.labels_in(Mask(labels, CLASSES), tmp_path / "photo.png", tmp_path / "drawn.png")
    assert found[0, 0] == 255
    assert (found.reshape(-1)[1:] == labels.reshape(-1)[1:]).all()


def test_the_page() -> None:
    browser = {"labels": 0.99987, "worst": 0.999, "ready_ms": [700, 900, 800], "mask_ms": [1500.0, 1700, 1600]}
    content = {
        "images": "abc",
        "count": 70,
        "apps": {"browser": {"a.onnx": browser}, "pi": {"b.onnx": {"labels": 1.0, "worst": 1}}},
    }
    text = apps.page(content)
    assert "all of 70 images (set `abc`)" in text
    assert "| file | browser | Raspberry Pi |\n|---|--:|--:|\n" in text
    assert "| `a.onnx` | 99.987 % (99.90 %) | not run |" in text
    assert "| `b.onnx` | not run | 100.000 % (100.00 %) |" in text
    assert "| `a.onnx` | 0.80 | 0.90 | 1.60 | 1.70 |" in text
