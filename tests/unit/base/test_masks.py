"""Masks as people have them: 0 and 255, palettes, colours, values that are not scored; and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import onenet
from onenet.base.masks import mask_folder, mask_of, read_mask, read_palette
from onenet.errors import RequestError
from onenet.spec import ClassSpec, numbered_classes

LABELS = np.array([[0, 1, 1, 0], [1, 0, 0, 2], [0, 0, 1, 1]], np.uint8)
TWO = numbered_classes(2)
COLOURED = (ClassSpec("a", "#000000"), ClassSpec("b", "#ff0000"), ClassSpec("c", "#00ff00"))


def folder_of(tmp_path: Path, masks: dict[str, Image.Image], name: str = "masks") -> Path:
    """A labelled folder: for each mask a black picture."""
    for part in ("images", name):
        (tmp_path / part).mkdir(exist_ok=True)
    for file, mask in masks.items():
        mask.save(tmp_path / name / file)
        Image.new("RGB", mask.size).save(tmp_path / "images" / f"{Path(file).stem.removesuffix('_mask')}.png")
    return tmp_path


def labels_in(folder: Path, classes: tuple[ClassSpec, ...] = TWO, ignore: int | None = None) -> list[list[list[int]]]:
    found: list[list[list[int]]] = onenet.load_labelled(folder, 3, 4, classes=classes, ignore_index=ignore).labels.tolist()
    return found


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1", "LA", "RGBA", "I;16"])
@pytest.mark.parametrize("folder", ["masks", "labels"])
def test_black_and_white_are_two_classes(mode: str, folder: str, tmp_path: Path) -> None:
    labels = np.minimum(LABELS, 1)
    values = labels * np.uint16(255) if mode == "I;16" else labels * np.uint8(255)
    mask = Image.fromarray(values) if mode == "I;16" else Image.fromarray(values).convert(mode)
    assert labels_in(folder_of(tmp_path, {"a.png": mask}, folder)) == [labels.tolist()]


def test_black_and_white_is_decided_for_the_whole_folder(tmp_path: Path) -> None:
    empty, full = np.zeros((3, 4), np.uint8), np.full((3, 4), 255, np.uint8)
    masks = {"a.png": Image.fromarray(empty), "b.png": Image.fromarray(full)}
    assert labels_in(folder_of(tmp_path, masks)) == [empty.tolist(), np.ones((3, 4)).tolist()]


def test_void_is_not_scored(tmp_path: Path) -> None:
    values = np.array([0, 255, 128], np.uint8)[LABELS]
    expected = np.where(LABELS == 2, -1, LABELS.astype(int)).tolist()
    folder = folder_of(tmp_path, {"a.png": Image.fromarray(values)})
    assert labels_in(folder, ignore=128) == [expected]
    with pytest.raises(
        RequestError, match=r"the mask of a.png holds 128; the model has 2 classes, whose values are 0 to 1, or"
    ):
        labels_in(folder)
    numbers = np.array([0, 1, 255], np.uint8)[LABELS]
    folder = folder_of(tmp_path, {"a.png": Image.fromarray(numbers)})
    assert labels_in(folder, ignore=255) == [expected]
    with pytest.raises(RequestError, match=r"--ignore-index 255 leaves such pixels out of the score"):
        labels_in(folder)
    with pytest.raises(RequestError, match=r"holds 255; the model has 2 classes"):
        labels_in(folder, ignore=0)


def test_a_class_that_is_ignored_by_mistake(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {"a.png": Image.fromarray(np.minimum(LABELS, 1) * np.uint8(255))})
    with pytest.raises(RequestError, match=r"where 255 is the class, leave --ignore-index out"):
        labels_in(folder, ignore=255)
    all_void = folder_of(tmp_path, {"a.png": Image.new("L", (4, 3), 7)})
    with pytest.raises(RequestError, match=r"nothing that is not ignored \(value 7\)"):
        labels_in(all_void, ignore=7)


def test_colours_of_a_palette(tmp_path: Path) -> None:
    colours = np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0]], np.uint8)
    folder = folder_of(tmp_path, {"a.png": Image.fromarray(colours[LABELS])})
    assert labels_in(folder, COLOURED) == [LABELS.tolist()]
    with pytest.raises(RequestError, match=r"is of colours; --palette FILE says which class each colour is"):
        labels_in(folder, numbered_classes(3))
    with pytest.raises(RequestError, match=r"has the colour #00ff00, which is no class's in the palette"):
        labels_in(folder, COLOURED[:2])
    # an optimiser has sorted the palette: its numbers are no classes any more, its colours still are
    mixed = Image.fromarray(np.array([2, 0, 1], np.uint8)[LABELS])
    mixed.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 0])
    folder = folder_of(tmp_path, {"a.png": mixed})
    assert labels_in(folder, COLOURED) == [LABELS.tolist()]
    assert labels_in(folder, numbered_classes(3)) == [np.array([2, 0, 1])[LABELS].tolist()]
    assert read_palette(folder / "masks" / "a.png")[:3] == ["#ff0000", "#00ff00", "#000000"]


def test_masks_are_found_by_their_images_names(tmp_path: Path) -> None:
    for name in ("a.png", "b_mask.png", "c.tif", "d.PNG"):
        Image.new("L", (2, 2)).save(tmp_path / name)
    for image in ("a.jpg", "b.jpeg", "c.png", "d.png"):
        assert mask_of(tmp_path, Path(image)).stem.startswith(image[0])
    with pytest.raises(RequestError, match=r"e.png is missing: every image in images/ needs .*/STEM.png"):
        mask_of(tmp_path, Path("e.jpg"))
    assert mask_folder(tmp_path) is None
    for name in ("masks", "labels"):
        (tmp_path / name).mkdir()
    with pytest.raises(RequestError, match=r"has both labels and masks; give a folder with one of them"):
        mask_folder(tmp_path)


def test_values_beyond_bytes(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 300]], np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(RequestError, match=r"holds 300; classes and ignored values are 0 to 255"):
        read_mask(tmp_path / "a.png", (1, 2), 1, 2)
    Image.new("RGB", (2, 1)).save(tmp_path / "b.png")
    with pytest.raises(RequestError, match=r"b.png has no palette; give a PNG with one"):
        read_palette(tmp_path / "b.png")
