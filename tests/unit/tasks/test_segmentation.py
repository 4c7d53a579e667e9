"""Roles, labels, masks of labelled folders and of tiles; scores are tested with ``quality``, runs with real artifacts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onenet.base.tiles import Tiling
from onenet.errors import RequestError
from onenet.spec import TensorSpec, numbered_classes
from onenet.tasks.image import ImageModel
from onenet.tasks.segmentation import TASK, Mask

LOGITS = TensorSpec("logits", "logits", (1, 3, 8, 12), "NCHW")


def net(tiling: Tiling | None = None, output: TensorSpec = LOGITS) -> ImageModel:
    """Class 1 where the image is bright, else 0; the third class never."""

    def run(batch: np.ndarray) -> np.ndarray:
        bright = batch.mean(1, keepdims=True) - 0.5
        return np.concatenate([-bright, bright, np.full_like(bright, -9)], 1)

    image = TensorSpec("image", "image", (1, 3, 8, 12), "NCHW")
    return ImageModel("net.null", (image,), output, numbered_classes(3), tiling, run)


def test_roles() -> None:
    assert TASK.with_role(LOGITS, "labels") == TensorSpec("labels", "labels", (1, 8, 12), dtype="int32")
    assert TASK.with_role(LOGITS, "probabilities").value_range == (0.0, 1.0)
    assert TASK.class_count(LOGITS) == 3


def test_one_class_alone_has_no_labels_to_compare() -> None:
    values = np.zeros((2, 1, 4, 4))
    assert TASK.agreement(values, values, "logits") is None
    assert TASK.agreement(np.zeros((2, 4, 4)), np.ones((2, 4, 4)), "labels") == 0.0


def test_masks_lie_beside_their_images(tmp_path: Path) -> None:
    assert not TASK.is_labelled(tmp_path)
    for name in ("images", "labels"):
        (tmp_path / name / "a").mkdir(parents=True)
    assert TASK.is_labelled(tmp_path)
    Image.fromarray(np.array([[0, 2], [1, 0]], np.uint8)).save(tmp_path / "labels" / "a" / "x.png")
    labels = TASK.open_labels(tmp_path)
    assert labels.images == tmp_path / "images"
    mask = labels.read(tmp_path / "images" / "a" / "x.jpg", (2, 2), (4, 4))
    assert mask[::2, ::2].tolist() == [[0, 2], [1, 0]]
    with pytest.raises(RequestError, match=r"the mask .*y\.png is missing"):
        labels.read(tmp_path / "images" / "a" / "y.jpg", (2, 2), (4, 4))


def test_tiles_and_the_mask_they_are_pasted_into(tmp_path: Path) -> None:
    pixels = np.zeros((16, 30, 3), np.uint8)
    pixels[3:9, 5:28] = 255
    model, done = net(Tiling(4, (0, 0))), list[int]()
    TASK.check_runs(model)
    mask = TASK.predict(model, pixels, TASK.plan(model, (16, 30)), done.append)
    assert np.array_equal(mask.labels, pixels[..., 0] // 255)
    assert done == [1] * 6
    assert mask.lines() == ()
    mask.write(tmp_path / "m.png")
    with Image.open(tmp_path / "m.png") as picture:
        assert picture.getpalette()[3:6] == [0xE6, 0x9F, 0]
        assert np.array_equal(np.asarray(picture), mask.labels)


def test_other_outputs_are_refused() -> None:
    with pytest.raises(RequestError, match="a mask needs logits"):
        TASK.check_runs(net(output=TensorSpec("logits", "logits", (1, 3), "NC")))


def test_an_overlay_mixes_the_classes_colours_and_leaves_the_background() -> None:
    mask = Mask(np.array([[0, 1], [2, 0]], np.uint8), numbered_classes(3))
    pixels = np.array([[[9, 8, 7], [100, 0, 255]], [[0, 0, 0], [255, 255, 255]]], np.uint8)
    drawn = mask.overlay(pixels)
    assert drawn.dtype == np.uint8
    assert drawn[0, 0].tolist() == [9, 8, 7] and drawn[1, 1].tolist() == [255, 255, 255]
    assert drawn[0, 1].tolist() == [165, 80, 128]  # half of e69f00
    assert mask.overlay(pixels, 1)[1, 0].tolist() == [0x56, 0xB4, 0xE9]
    assert (mask.overlay(pixels, 0) == pixels).all()
    with pytest.raises(RequestError, match="a mask of 2x2 does not belong to a picture of 2x1x3"):
        mask.overlay(pixels[:, :1])


def test_shares_are_of_all_classes() -> None:
    assert Mask(np.array([[0, 0], [2, 0]], np.uint8), numbered_classes(3)).shares() == {
        "class 0": 0.75,
        "class 1": 0.0,
        "class 2": 0.25,
    }
