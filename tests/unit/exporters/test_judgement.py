"""What becomes of an artifact that fails a check, and what is measured of one that holds."""

from __future__ import annotations

import json
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
from onenet.lowering import lower
from onenet.lowering.tiling import tile
from onenet.models.build import build
from onenet.runtimes.artifact import open_artifact
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
    artifact = open_artifact(write_null(tmp_path / "net.null"))
    quality, checks = judgement.measure(job_of(bias), artifact, IMAGES)
    assert not checks  # a segmentation's labels are looked at with its values
    assert quality is not None
    assert (quality.images, quality.label_agreement) == (3, agreement)


def test_a_fault_that_the_golden_pair_lets_through_is_found_on_the_images(tmp_path: Path) -> None:
    """The artifact gives zeros, as its golden pair says, and the network does not."""
    with pytest.raises(CheckError, match=r"failed its check of values of logits on 2 samples: relative difference 1\.0e\+00"):
        judgement.judge(job_of(1.0), write_null(tmp_path / "net.null"), IMAGES)


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    path = write_null(tmp_path / "net.null")
    content = json.loads(path.read_text())
    content["onenet"]["precision"] = "int8"  # and no limits
    path.write_text(json.dumps(content))
    with pytest.raises(CheckError, match=r"cannot be checked here: not compared: .*--no-verify writes it all the same"):
        judgement.judge(job_of(0.0), path, None)


@pytest.mark.parametrize("size", [(8, 8), (16, 24)])
def test_a_few_samples_are_cut_to_the_network_s_size_and_to_8_bits(size: tuple[int, int]) -> None:
    """The second network takes tiles of 8 x 8."""
    model = build(nn.Conv2d(3, 2, 1), input_size=size)
    job = make_job(lower(model if size == (8, 8) else tile(model, 8)), "onnx", "fp32", "float")
    images = np.random.default_rng(0).random((5, 3, *size), np.float32)
    batches = judgement.few(job, Samples.of_images("noise", images))
    assert len(batches) == judgement.PICTURES
    for batch, place in zip(batches, (0, 4), strict=True):
        top, left = (size[0] - 8) // 2, (size[1] - 8) // 2
        expected = images[place : place + 1, :, top : top + 8, left : left + 8]
        assert np.abs(batch["image"] - expected).max() <= 0.5001 / 255
        steps = batch["image"] * 255
        assert np.abs(steps - np.rint(steps)).max() < 1e-4


def test_outputs_on_all_images(tmp_path: Path) -> None:
    outputs = judgement.artifact_outputs(write_null(tmp_path / "net.null"), {"image": IMAGES.feeds(job_of(0.0).model)["image"]})
    assert outputs is not None
    assert outputs.shape == (3, 2, 8, 8)


@pytest.mark.parametrize(("bias", "agreement"), [(1.0, 1.0), (-1.0, 0.0)])
def test_what_is_not_checked_is_measured_all_the_same(bias: float, agreement: float, tmp_path: Path) -> None:
    found = judgement.measure_alone(job_of(bias), write_null(tmp_path / "net.null"), IMAGES)
    assert found.verification is None
    assert found.quality is not None and found.quality.label_agreement == agreement


def test_what_cannot_be_opened_is_no_reason_not_to_write_it(tmp_path: Path) -> None:
    (tmp_path / "net.null").write_text("no JSON")
    found = judgement.measure_alone(job_of(0.0), tmp_path / "net.null", IMAGES)
    assert found.quality is None
    assert found.cautions[0].startswith("Conv2d_fp32.onnx could not be measured: ")
