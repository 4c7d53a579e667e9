"""The preview picture: its size, its colours where they can be told, and that the same input gives the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from onenet.base.drawing import GAP, MARGIN
from onenet.errors import RequestError
from onenet.spec import ClassSpec, numbered_classes
from onenet.tasks import preview
from onenet.tasks.preview import CELL, draw_preview

pytest.importorskip("matplotlib")

FIRST = MARGIN + preview.TITLE + preview.SUBTITLE + preview.HEADING
PINK = preview.rgb(preview.DIFFERS)


def example(n: int, classes: int, height: int = 64, width: int = 64) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, (n, height, width))
    return {
        "images": rng.random((n, 3, height, width)).astype(np.float32),
        "truth": labels.astype(np.uint8),
        "reference": labels,
        "artifact": labels.copy(),
        "classes": numbered_classes(classes),
        "title": "model",
        "subtitle": "int8 against float",
    }


def drawn(path: Path, **arguments: Any) -> NDArray[np.uint8]:
    draw_preview(path, **arguments)
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert picture.mode == "RGB"
        assert picture.info == {}  # no software name, no date
        return np.asarray(picture)


def size(columns: int, rows: int, cell: int, legend_lines: int) -> tuple[int, int, int]:
    width = 2 * MARGIN + columns * CELL + (columns - 1) * GAP
    return FIRST + rows * (cell + preview.CAPTION) + legend_lines * preview.LEGEND + MARGIN, width, 3


def cell(picture: NDArray[np.uint8], column: int, height: int = CELL) -> NDArray[np.uint8]:
    left = MARGIN + column * (CELL + GAP)
    return picture[FIRST : FIRST + height, left : left + CELL]


@pytest.mark.parametrize(("n", "classes", "lines"), [(1, 2, 1), (3, 2, 1), (1, 12, 2), (2, 12, 2)])
def test_one_row_per_image_and_five_columns(tmp_path: Path, n: int, classes: int, lines: int) -> None:
    assert drawn(tmp_path / "p.png", **example(n, classes)).shape == size(5, n, CELL, lines)


def test_without_truth_there_is_no_such_column(tmp_path: Path) -> None:
    arguments = {**example(1, 2), "truth": None}
    assert drawn(tmp_path / "p.png", **arguments).shape == size(4, 1, CELL, 1)


def test_many_class_names_break_into_lines(tmp_path: Path) -> None:
    classes = [ClassSpec(f"a class with quite a long name {k}", "#123456") for k in range(12)]
    found = drawn(tmp_path / "p.png", **{**example(1, 12), "classes": classes})
    assert found.shape == size(5, 1, CELL, 4)


@pytest.mark.parametrize(("height", "width", "cell_height"), [(32, 64, 128), (600, 300, 512), (256, 256, 256)])
def test_cells_keep_the_image_s_proportions(tmp_path: Path, height: int, width: int, cell_height: int) -> None:
    assert drawn(tmp_path / "p.png", **example(1, 2, height, width)).shape == size(5, 1, cell_height, 1)


def test_at_most_eight_rows_and_a_note(tmp_path: Path) -> None:
    assert drawn(tmp_path / "p.png", **example(9, 2)).shape == size(5, 8, CELL, 2)
    assert drawn(tmp_path / "p.png", **example(9, 2), rows=9).shape == size(5, 9, CELL, 1)


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        draw_preview(tmp_path / name, **example(2, 12))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_pixels_of_a_256_image_are_copied_and_the_differing_one_is_marked(tmp_path: Path) -> None:
    arguments = example(1, 2, 256, 256)
    arguments["artifact"][0, 100, 50] ^= 1
    picture = drawn(tmp_path / "p.png", **arguments)
    palette = np.array([preview.rgb(c.colour) for c in arguments["classes"]])
    image = np.rint(arguments["images"][0].transpose(1, 2, 0) * 255)
    assert (cell(picture, 0) == image).all()
    for column, name in ((1, "truth"), (2, "reference"), (3, "artifact")):
        assert (cell(picture, column) == palette[arguments[name][0]]).all()
    marked = (cell(picture, 4) == PINK).all(2)
    assert np.argwhere(marked).tolist() == [[100, 50]]


def test_nothing_is_marked_where_nothing_differs(tmp_path: Path) -> None:
    last = cell(drawn(tmp_path / "p.png", **example(1, 3)), 4)
    assert (last[..., 0] == last[..., 1]).all()  # the dimmed image is grey
    assert last.max() <= 255 * preview.DIM + 1


def test_text_stays_on_the_page_and_is_not_read_as_a_formula(tmp_path: Path) -> None:
    arguments = {**example(1, 2), "truth": None, "title": r"from $\frac to $6 " * 20, "subtitle": "wide " * 80}
    picture = drawn(tmp_path / "p.png", **arguments)
    assert (picture[:FIRST, -MARGIN + 2 :] == 255).all()
    assert (picture[:FIRST] < 255).any()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"images": np.zeros((0, 3, 4, 4), np.float32)}, r"found \(0, 3, 4, 4\)"),
        ({"images": np.zeros((1, 2, 64, 64), np.float32)}, r"found \(1, 2, 64, 64\)"),
        ({"artifact": np.zeros((1, 32, 32), int)}, r"artifact labels have shape \(1, 32, 32\)"),
        ({"truth": np.full((1, 64, 64), 255, np.uint8)}, r"truth holds label 255; 2 classes have labels 0\.\.1"),
        ({"classes": (ClassSpec("a", "red"), ClassSpec("b", "#000000"))}, "'red' is not of the form"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    with pytest.raises(RequestError, match=text):
        draw_preview(tmp_path / "p.png", **{**example(1, 2), **change})
    assert list(tmp_path.iterdir()) == []
