"""The picture of a classifier: what is in a row, lengths and colours of bars, and that the same input gives the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from onenet.base.drawing import GAP, MARGIN, rgb
from onenet.errors import RequestError
from onenet.spec import numbered_classes
from onenet.tasks import bars
from onenet.tasks.bars import ARTIFACT, BARS, CAPTION, FLOAT, NAMES, draw_bars, make_row
from onenet.tasks.preview import CELL, SUBTITLE, TITLE

LEFT = MARGIN + CELL + 2 * GAP + NAMES
TOP = MARGIN + TITLE + SUBTITLE + GAP


def example(count: int = 2) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    values = rng.dirichlet(np.ones(7), (2, count)).astype(np.float32)
    return {
        "images": rng.random((count, 3, 24, 24), np.float32),
        "truth": rng.integers(0, 7, count),
        "reference": values[0],
        "artifact": values[1],
        "classes": numbered_classes(7),
        "title": "net, onnx int8",
        "subtitle": "top-1 classes agree",
    }


def drawn(path: Path, arguments: dict[str, Any]) -> np.ndarray:
    draw_bars(path, **arguments)
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_a_bar_is_as_long_as_its_probability(tmp_path: Path) -> None:
    arguments = example(1)
    arguments["reference"] = np.array([[0.5, 0.25, 0.25, 0, 0, 0, 0]], np.float32)
    arguments["artifact"] = np.array([[0.75, 0.0, 0.25, 0, 0, 0, 0]], np.float32)
    pixels = drawn(tmp_path / "p.png", arguments)
    row = pixels[TOP + CAPTION + 7], pixels[TOP + CAPTION + bars.BAR + 1 + 7]  # the first class, by both
    for line, colour, share in zip(row, (FLOAT, ARTIFACT), (0.5, 0.75), strict=True):
        assert (line[LEFT : LEFT + BARS] == rgb(colour)).all(-1).sum() == round(BARS * share)


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        draw_bars(tmp_path / name, **example(12))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_truth_and_the_artifacts_first_class_are_always_shown() -> None:
    reference = np.array([0.4, 0.3, 0.1, 0.08, 0.06, 0.05, 0.01])
    artifact = np.array([0.4, 0.0, 0.0, 0.0, 0.0, 0.6, 0.0])
    image = np.zeros((3, 8, 8), np.float32)
    assert make_row(image, 6, reference, artifact).classes == (0, 1, 2, 5, 6)
    assert make_row(image, None, reference, reference).classes == (0, 1, 2, 3, 4)


def test_of_many_images_eight_evenly_spaced_ones_are_drawn(tmp_path: Path) -> None:
    arguments = example(16)
    arguments["images"][:] = np.arange(16, dtype=np.float32)[:, None, None, None] / 15
    pixels = drawn(tmp_path / "p.png", arguments)
    greys = pixels[:, MARGIN + 5, 0].astype(int)
    for place in range(1, 16, 2):
        assert (abs(greys - round(place * 255 / 15)) <= 1).sum() >= CELL


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"images": np.zeros((2, 4, 8, 8), np.float32)}, "a picture needs images"),
        ({"artifact": np.zeros((2, 6))}, "artifact probabilities have shape"),
        ({"truth": np.zeros((2, 8, 8), int)}, "true classes have shape"),
        ({"truth": np.array([0, 7])}, "true classes reach from 0 to 7; 7 classes are 0..6"),
    ],
)
def test_what_does_not_belong_together_is_refused(change: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=says):
        draw_bars(tmp_path / "p.png", **{**example(), **change})
