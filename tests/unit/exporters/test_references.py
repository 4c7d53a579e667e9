"""What outputs are compared with follows from the network: its own error in float32, in half precision, in int8."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import onenet
from onenet.base.quiet import quiet
from onenet.exporters import references as made
from onenet.exporters.job import Job
from onenet.exporters.pipeline import make_job
from onenet.exporters.references import limits_of, references
from onenet.runtimes.values import HIGHEST_DB, OWN_ERRORS, Limits

SHAPE = (1, 3, 16, 16)
FEEDS = {"image": np.random.default_rng(0).random(SHAPE, np.float32)}


class Cancels(nn.Module):
    """A small difference of large values: what float32 makes of it is far from float64."""

    def __init__(self, offset: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net, self.offset = nn.Conv2d(3, 4, 3, padding=1), offset

    def forward(self, image: Tensor) -> Tensor:
        return torch.tanh(torch.relu(self.net(image) + self.offset) - self.offset)


def job_of(net: nn.Module, precision: str, target: str = "onnx") -> Job:
    model = onenet.lower(onenet.build(net.eval(), input_size=SHAPE[2:]))
    if precision != "int8":
        return make_job(model, target, precision, "float")
    with quiet():
        return make_job(onenet.calibrate(model, list(FEEDS["image"])), target, precision, "float")


def limits(job: Job) -> Limits:
    (spec,), (output,) = job.model.spec.outputs, references(job, FEEDS)
    return limits_of(job, spec, output, lambda values: np.moveaxis(values, 1, -1).reshape(-1, values.shape[1]))


@pytest.mark.parametrize("precision", ["fp32", "w8"])
def test_float_tolerances_follow_from_the_network(precision: str) -> None:
    ordinary, rough = (limits(job_of(Cancels(offset), precision)).relative for offset in (1.0, 300.0))
    assert ordinary == 2e-5
    assert rough is not None
    (output,) = references(job_of(Cancels(300.0), precision), FEEDS)
    assert output.own is not None
    own = np.abs(output.own - output.reference).max() / np.abs(output.reference).max()
    assert rough == pytest.approx(OWN_ERRORS * own, rel=0.11)
    assert rough > 4e-5


def test_fp16_limits_follow_from_a_simulation() -> None:
    ordinary, rough = (limits(job_of(Cancels(offset), "fp16")).sqnr_db for offset in (1.0, 30.0))
    assert ordinary == 50
    assert rough is not None and 20 < rough < 40


def test_int8_is_compared_with_the_program_and_the_float_model() -> None:
    job = job_of(Cancels(1.0), "int8")
    (output,) = references(job, FEEDS)
    with torch.no_grad():
        assert np.array_equal(output.floats, job.model.module(torch.from_numpy(FEEDS["image"])).numpy())
    assert output.floats.shape == output.reference.shape == output.others[0].shape
    assert not np.array_equal(output.floats, output.reference)
    found = limits(job)
    assert found.sqnr_db is not None and 15 < found.sqnr_db < HIGHEST_DB - 20
    assert found.reference_db is not None


def test_one_run_serves_all_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_of(Cancels(1.0), "fp32")
    first = references(job, FEEDS)
    monkeypatch.setattr(made, "run_references", None)  # it would fail now
    assert references(dataclasses.replace(job, target="tflite"), FEEDS) is first
    with pytest.raises(TypeError):
        references(job, {"image": FEEDS["image"] / 2})
