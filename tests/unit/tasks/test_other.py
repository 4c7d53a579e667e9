"""The task of what no task knows: values only, and everything else is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from onenet.errors import RequestError
from onenet.spec import TensorSpec
from onenet.tasks import TASKS, PictureRows
from onenet.tasks.image import ImageModel

IMAGE = TensorSpec("image", "image", (1, 3, 8, 8), "NCHW")


def model(output: TensorSpec) -> ImageModel:
    return ImageModel("net.null", (IMAGE,), output, (), None, lambda batch: batch)


def test_what_is_left_out_is_refused(tmp_path: Path) -> None:
    task, scores = TASKS.get("other", "task"), TensorSpec("y", "scores", (1, 3))
    values = np.zeros((1, 3))
    assert task.agreement(values, values, "scores") is None
    assert (task.compare(values, values, "scores"), task.score(values, "scores", values, 3)) == ({}, {})
    assert not task.is_labelled(tmp_path)
    rows = PictureRows(np.zeros((1, 3, 8, 8)), None, values, values, "scores", (), "", "")
    for call, says in (
        (lambda: task.with_role(scores, "labels"), "other has no choice of outputs"),
        (lambda: task.labels(values, "scores"), "other has none"),
        (lambda: task.open_labels(tmp_path), "other has none: give images alone"),
        (lambda: task.draw(tmp_path / "x.png", rows), "other has none"),
        (lambda: task.check_runs(model(scores)), "does not do; supported: segmentation, classification"),
    ):
        with pytest.raises(RequestError, match=says):
            call()
