"""What the manifest says of a job, without a conversion."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from onenet.base.files import sha256_of
from onenet.exporters.job import Job
from onenet.exporters.manifest import UNVERIFIED, describe, golden_pair, make_manifest, to_json
from onenet.exporters.pipeline import make_job
from onenet.models.build import build
from onenet.runtimes import golden


@pytest.fixture(scope="module")
def job() -> Job:
    torch.manual_seed(0)
    return make_job(build(nn.Conv2d(3, 2, 1), input_size=(8, 16)), "onnx", "fp32", "float")


def test_ends_are_those_of_the_file(job: Job) -> None:
    manifest = make_manifest(job, "NHWC", ("onnx", "not-there"), {"logits": (0.5, 3)}, {})
    content = json.loads(to_json(manifest))
    (image,), (logits,) = content["inputs"], content["outputs"]
    assert (image["layout"], image["shape"], image["dtype"]) == ("NHWC", [1, 8, 16, 3], "float32")
    assert (logits["shape"], logits["dtype"], logits["scale"], logits["zero_point"]) == ([1, 8, 16, 2], "int8", 0.5, 3)
    assert content["tools"]["not-there"] == "not installed"
    assert content["recipe"] is content["calibration"] is None
    assert content["lowering"]["target_rules"] == [rule.as_dict() for rule in job.arranged.rules]


def test_it_is_the_same_twice(job: Job) -> None:
    assert len({to_json(make_manifest(job, "NCHW", (), {}, {})) for _ in range(2)}) == 1


def test_the_golden_output_is_the_network_s(job: Job) -> None:
    sample = np.random.default_rng(0).random((3, 8, 16), np.float32)
    pair = json.loads(json.dumps(golden_pair(job, {"image": sample})))
    (spec,), (entry,), (expected,) = job.model.spec.inputs, pair["inputs"], pair["outputs"]
    with torch.no_grad():
        values = job.model.module(torch.from_numpy(golden.read_input(entry, spec)))[0]
    computed = golden.sample_like(expected, np.asarray(values).reshape(1, 2, 8, 16), True)
    assert np.allclose(golden.read_output(expected), computed, atol=1e-6)


def test_beside_the_artifact_its_bytes_are_described(job: Job, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"content")
    described = describe({"name": "net"}, path, None, job.quantized)
    assert described["artifact"] == {"file": "net.onnx", "bytes": 7, "sha256": sha256_of(path)}
    assert (described["name"], described["checks"], described["quality"]) == ("net", UNVERIFIED, None)
