"""Roles, labels, masks of labelled folders and of tiles; scores are tested with ``quality``, runs with real artifacts."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onenet.base.enlarge import enlarge
from onenet.base.tiles import Tiling
from onenet.errors import RequestError
from onenet.spec import TensorSpec, numbered_classes
from onenet.tasks import PictureRows, task_of
from onenet.tasks.image import ImageModel
from onenet.tasks.segmentation import TASK, Mask, confidence_of

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


def test_one_channel_tells_a_class_from_the_background() -> None:
    one = TensorSpec("logits", "logits", (1, 1, 2, 2), "NCHW")
    assert TASK.is_binary(one) and TASK.class_count(one) == 2 and not TASK.is_binary(LOGITS)
    logits = np.array([[[[-2.0, -0.1], [0.1, 2.0]]]], np.float32)
    assert TASK.labels(logits, "logits").tolist() == [[[0, 0], [1, 1]]]
    probabilities = 1 / (1 + np.exp(-logits))
    for share, expected in ((0.5, [[0, 0], [1, 1]]), (0.4, [[0, 1], [1, 1]]), (0.8, [[0, 0], [0, 1]])):
        task = TASK.with_threshold(share)
        assert task.labels(logits, "logits").tolist() == task.labels(probabilities, "probabilities").tolist() == [expected]
    assert TASK.threshold is None and task_of("segmentation", 0.25).labels(logits - 1, "logits").tolist() == [[[0, 0], [1, 1]]]
    assert TASK.agreement(logits, -logits, "logits") == 0.0 and TASK.agreement(logits, logits, "logits") == 1.0
    assert TASK.agreement(np.zeros((2, 1)), np.ones((2, 1)), "scores") is None  # no labels at all
    for role, values in (("logits", logits), ("probabilities", probabilities)):
        sure = confidence_of(values, role)
        assert sure is not None and sure[0] == pytest.approx(np.maximum(probabilities, 1 - probabilities)[0, 0], abs=1e-6)


def test_scores_of_a_lower_resolution_and_of_pixels_that_are_not_scored() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 3, 4, 6)).astype(np.float32)
    large = enlarge(logits, (8, 12))
    truth = large.argmax(1)
    assert TASK.score(logits, "logits", truth, 3) == TASK.score(large, "logits", truth, 3) == {"miou": 1, "dice": 1, "map50": 1}
    wrong = np.where(rng.random(truth.shape) < 0.3, (truth + 1) % 3, truth)
    ignored = np.where(wrong != truth, -1, truth)
    assert TASK.score(logits, "logits", wrong, 3)["miou"] < 0.7
    assert TASK.score(logits, "logits", ignored, 3)["miou"] == 1.0
    labels = np.array([[[1, 2]]])
    assert TASK.score(labels, "labels", np.array([[[1, 1, 2, 2], [1, 1, 2, 2]]]), 3)["miou"] == 1.0


def test_outputs_of_integers_are_labels() -> None:
    (spec,) = TASK.signature_of([((1, 4, 6), "int64")]) or ()
    assert (spec.role, spec.dtype) == ("labels", "int64")
    assert TASK.signature_of([((1, 4, 6), "float32")]) is None


def test_small_outputs_become_masks_of_the_images_size() -> None:
    def run(images: np.ndarray) -> np.ndarray:
        return images[:, :1, ::4, ::4] - 0.5

    image = TensorSpec("image", "image", (1, 3, 8, 12), "NCHW")
    model = ImageModel(
        "net.null", (image,), TensorSpec("logits", "logits", (1, 1, 2, 3), "NCHW"), numbered_classes(2), None, run
    )
    TASK.check_runs(model)
    pixels = np.zeros((8, 12, 3), np.uint8)
    pixels[:, 6:] = 255
    labels = TASK.predict(model, pixels, TASK.plan(model, (8, 12))).labels
    assert labels.shape == (8, 12) and labels[:, :4].max() == 0 and labels[:, 9:].min() == 1
    sure = dataclasses.replace(model, threshold=0.61)  # the logit 0.447, which only the last pixels reach
    assert 0 < TASK.predict(sure, pixels, TASK.plan(sure, (8, 12))).labels.sum() < labels.sum()
    large = dataclasses.replace(model, output=TensorSpec("logits", "logits", (1, 1, 16, 24), "NCHW"))
    with pytest.raises(RequestError, match="at the size of the image or smaller"):
        TASK.check_runs(large)


def test_pictures_show_what_is_not_scored(tmp_path: Path) -> None:
    logits, truth = np.zeros((1, 2, 4, 4), np.float32), np.full((1, 8, 8), -1)
    rows = PictureRows(np.zeros((1, 3, 8, 8), np.float32), truth, logits, logits, "logits", numbered_classes(2), "title", "")
    TASK.draw(tmp_path / "a.png", rows)
    colours = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).reshape(-1, 3)
    assert (colours == 128).all(1).mean() > 0.05


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
    mask.write(str(tmp_path / "m.png"))
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
