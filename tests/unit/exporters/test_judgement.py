"""What becomes of an artifact that fails a check, and what is measured of one that holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from onenet.calibration.samples import Samples
from onenet.errors import CheckError
from onenet.exporters import judgement
from onenet.exporters.job import Job
from onenet.exporters.pipeline import make_job
from onenet.models.build import build
from tests.null_artifact import write_null

IMAGES = Samples.of_images("noise", np.random.default_rng(0).random((3, 3, 8, 8), np.float32))


def job_of(bias: float) -> Job:
    """A network whose first class is ``bias`` everywhere and whose second is 0; the null artifact gives zeros."""
    net = nn.Conv2d(3, 2, 1)
    with torch.no_grad():
        net.weight.zero_()
        net.bias.copy_(torch.tensor([bias, 0.0]))
    return make_job(build(net, input_size=(8, 8)), "onnx", "fp32", "float")


def test_wrong_values_are_refused_with_the_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judgement, "first_bad_layer", lambda *_: "Layer conv2d is the first that is wrong.")
    with pytest.raises(CheckError) as caught:
        judgement.judge(job_of(0.0), write_null(tmp_path / "net.null", right=False), None)
    text = str(caught.value)
    assert "failed its check of values" in text
    assert "Layer conv2d is the first that is wrong. Nothing was written; --no-verify" in text


def test_without_images_there_is_no_quality(tmp_path: Path) -> None:
    found = judgement.judge(job_of(0.0), write_null(tmp_path / "net.null"), None)
    assert (found.verification.passed, found.quality) == (True, None)


@pytest.mark.parametrize(("bias", "agreement"), [(1.0, 1.0), (-1.0, 0.0)])
def test_quality_is_measured_against_the_float_model(bias: float, agreement: float, tmp_path: Path) -> None:
    quality = judgement.judge(job_of(bias), write_null(tmp_path / "net.null"), IMAGES).quality
    assert quality is not None
    assert (quality.images, quality.label_agreement) == (3, agreement)


def test_outputs_on_all_images(tmp_path: Path) -> None:
    outputs = judgement.artifact_outputs(write_null(tmp_path / "net.null"), {"image": IMAGES.feeds(job_of(0.0).model)["image"]})
    assert outputs is not None
    assert outputs.shape == (3, 2, 8, 8)
