"""Every (target, precision) pair, from a small network to a file and back."""

from __future__ import annotations

import json

import numpy as np
import pytest

import onenet
from onenet.export.pairs import PAIRS
from onenet.runtimes.artifact import manifest_of, open_artifact, sidecar_of
from onenet.runtimes.parity import labels_of
from tests.export.conftest import NETS, Artifacts, evaluation_of, model_of

RUNNABLE = ["tflite", "onnx"]


@pytest.mark.parametrize(("target", "precision"), sorted(PAIRS))
@pytest.mark.parametrize("name", NETS)
def test_round_trip(name: str, target: str, precision: str, artifacts: Artifacts) -> None:
    artifact = artifacts(name, target, precision)
    result = onenet.verify(artifact.path)
    assert result.passed
    unanswered = {check.name for check in result.checks if check.passed is None}
    assert unanswered == (set() if target in RUNNABLE else {"values"})
    embedded, beside = manifest_of(artifact.path), json.loads(sidecar_of(artifact.path).read_text())
    assert {key: beside[key] for key in embedded} == embedded
    assert set(beside) - set(embedded) == {"artifact", "checks", "quality"}
    assert embedded["source"]["weights_sha256"]
    assert embedded["golden"]["inputs"]


@pytest.mark.parametrize("target", RUNNABLE)
def test_integer_ends_give_the_float_ends_values(target: str, artifacts: Artifacts) -> None:
    name = "ed"
    plain, integer = (open_artifact(artifacts(name, target, "int8", io=io).path) for io in ("float", "int8"))
    assert {t.dtype for t in (*integer.session.inputs, *integer.session.outputs)} == {"int8"}
    images = evaluation_of(name)
    assert images is not None
    feed = {"image": getattr(images, "samples", images).arrays[:1]}
    step = integer.outputs[0].scale
    assert step is not None
    assert np.abs(plain.run(feed)["logits"] - integer.run(feed)["logits"]).max() <= 1.001 * step


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("target", RUNNABLE)
def test_probabilities_and_labels_follow_the_logits(target: str, precision: str, artifacts: Artifacts) -> None:
    name = "ed"
    images = evaluation_of(name)
    assert images is not None
    feed = {"image": getattr(images, "samples", images).arrays[:1]}
    logits = open_artifact(artifacts(name, target, precision).path).run(feed)["logits"]
    probabilities = open_artifact(artifacts(name, target, precision, output="probabilities").path).run(feed)["probabilities"]
    labels = open_artifact(artifacts(name, target, precision, output="labels").path).run(feed)["labels"]
    assert labels.shape == logits[:, 0].shape
    assert np.abs(probabilities.sum(1) - 1).max() <= (1e-5 if precision == "fp32" else 3 / 256)
    for other in (labels_of(probabilities, "probabilities"), labels):
        assert (other == logits.argmax(1)).mean() >= 0.97


def test_batches_and_sizes_are_kept() -> None:
    assert model_of("e, batch of two").spec.inputs[0].shape == (2, 3, 40, 24)
    assert model_of("e, spatial, tall").spec.outputs[0].shape == (1, 3, 56, 8)
