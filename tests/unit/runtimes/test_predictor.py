"""An artifact that stays open: what ``run`` writes to files, one picture after the other."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import onenet
from onenet.errors import RequestError
from onenet.spec import numbered_classes
from onenet.tasks.segmentation import Mask
from tests.null_artifact import write_null


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """A segmentation of two classes that is class 0 everywhere."""
    return write_null(tmp_path / "net.null", task="segmentation", classes=[asdict(each) for each in numbered_classes(2)])


def test_a_picture_is_predicted_as_run_does_it(artifact: Path, tmp_path: Path) -> None:
    picture = tmp_path / "photo.png"
    Image.new("RGB", (20, 10), "red").save(picture)
    model = onenet.open_model(artifact)
    assert (model.runtime.name, model.task.name, [each.name for each in model.classes]) == (
        "null",
        "segmentation",
        ["class 0", "class 1"],
    )
    for image in (picture, str(picture), onenet.read_image(picture)):
        mask = model.predict(image)
        assert isinstance(mask, Mask) and mask.labels.shape == (10, 20)
    (result,) = onenet.run(artifact, picture, out=tmp_path, fit="resize")
    with Image.open(result.file) as written:
        assert np.array_equal(np.asarray(written), mask.labels)


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (np.zeros((4, 4, 3), np.float32), "pixels are float32 \\(4, 4, 3\\)"),
        (np.zeros((4, 4), np.uint8), "pixels are uint8 \\(4, 4\\)"),
        (np.zeros((0, 4, 3), np.uint8), "pixels are uint8 \\(0, 4, 3\\)"),
    ],
)
def test_other_pixels_are_refused(artifact: Path, pixels: np.ndarray, said: str) -> None:
    with pytest.raises(RequestError, match=f"{said}; expected uint8 \\(H, W, 3\\)"):
        onenet.open_model(artifact).predict(pixels)


def test_what_cannot_be_opened_is_refused(artifact: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="does not exist"):
        onenet.open_model(tmp_path / "nothing.tflite")
    with pytest.raises(RequestError, match="takes no prompt"):
        onenet.open_model(artifact, prompt="nuclei")
