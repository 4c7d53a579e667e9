"""Every (target, precision) pair, from a small network to a file and back."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import onenet
from onenet.base.arrays import run_all
from onenet.base.files import sha256_of, size_of
from onenet.base.host import has_vnni
from onenet.base.metrics import label_agreement, sqnr_db
from onenet.base.quiet import quiet
from onenet.errors import RequestError
from onenet.models.build import build
from onenet.models.output import Output
from onenet.runtimes import parity
from onenet.runtimes.artifact import Artifact, manifest_of, open_artifact, sidecar_of
from onenet.runtimes.backends import litert
from onenet.targets import pairs, suffixes
from onenet.tasks.segmentation import TASK as SEGMENTATION
from onenet.tasks.segmentation import labels_of
from tests.export.conftest import NETS, PLAIN, Artifacts, images_of, model_of, network_of, quantized_of, three_levels
from tests.shared import few

PAIRS, TARGETS = pairs(), list(suffixes())
SMALLER = {  # name of a net -> the smaller precisions that it is exported in; the two others in all
    "e, batch of two": [("coreml", "fp16"), ("tflite", "w8")],
    "e, spatial, one channel, tall": [("coreml", "fp16"), ("onnx", "w8")],
}
CASES = [
    (name, *pair)
    for name in NETS
    for pair in sorted(PAIRS)
    if pair[1] in ("fp32", "int8") or name not in SMALLER or pair in SMALLER[name]
]
OUTPUTS: list[Output] = ["logits", "probabilities", "labels"]
SATURATES = has_vnni() is False
"""int8 kernels of ONNX Runtime may be wrong on this CPU; its artifacts are run in exact arithmetic instead."""


INT8_SQNR_DB, INT8_LABELS = 25, 0.99
"""These small networks in int8 beside float. The product has no such tolerance: what int8 may cost is the user's budget."""


def opened(path: Path) -> Artifact:
    return open_artifact(path, exact_int8=SATURATES)


def run(path: Path, images: np.ndarray) -> np.ndarray:
    """The first output on images of any number."""
    artifact = opened(path)
    image, output = artifact.inputs[0], artifact.outputs[0]
    result: np.ndarray = run_all(lambda part: artifact.run({image.name: part})[output.name], images, image.shape[0])
    return result


@pytest.mark.parametrize(("name", "target", "precision"), CASES)
def test_an_artifact_holds_when_it_is_read_again(name: str, target: str, precision: str, artifacts: Artifacts) -> None:
    result = onenet.verify(artifacts(name, target, precision).path)
    assert result.passed
    assert {"bytes", "inputs", "outputs"} <= {check.name for check in result.checks if check.passed}
    unanswered = {check.name for check in result.checks if check.passed is None}
    may_be = {"values of logits"} if target == "onnx" and precision == "int8" and SATURATES else set()
    assert unanswered <= may_be


@pytest.mark.parametrize(("name", "target", "precision"), CASES)
def test_the_manifest_describes_the_file(name: str, target: str, precision: str, artifacts: Artifacts) -> None:
    path = artifacts(name, target, precision).path
    embedded, beside = manifest_of(path).content, json.loads(sidecar_of(path).read_text())
    assert beside.pop("artifact") == {"file": path.name, "bytes": size_of(path), "sha256": sha256_of(path)}
    assert {check["name"] for check in beside.pop("checks")} >= {"inputs", "outputs"}
    assert beside.pop("quality") is not None
    record = beside.pop("calibration_record")
    assert (record and record["id"]) == (embedded["calibration"] and embedded["calibration"]["id"])
    assert beside == embedded
    batch, channels, height, width = NETS[name].shape
    last = target == "tflite"
    ends = [(each["name"], each["shape"], each["dtype"]) for each in (*embedded["inputs"], *embedded["outputs"])]
    assert ends == [
        ("image", [batch, height, width, channels] if last else [batch, channels, height, width], "float32"),
        ("logits", [batch, height, width, 3] if last else [batch, 3, height, width], "float32"),
    ]
    assert {each["layout"] for each in (*embedded["inputs"], *embedded["outputs"])} == {"NHWC" if last else "NCHW"}
    session = open_artifact(path).session
    assert [(t.name, list(t.shape), t.dtype) for t in (*session.inputs, *session.outputs)] == ends
    assert (embedded["target"], embedded["precision"], embedded["io"]) == (target, precision, "float")
    assert (embedded["calibration"] is None) == (precision != "int8")


@pytest.mark.parametrize(("name", "target", "precision"), [each for each in CASES if each[2] != "w8"])
def test_values_are_those_of_the_network_that_was_given(name: str, target: str, precision: str, artifacts: Artifacts) -> None:
    """Not of the deploy form: what lowering or a golden pair gets wrong would show here."""
    network = network_of(name)[0]
    images = np.rint(images_of(name) * 255).astype(np.float32) / np.float32(255)  # a Core ML image holds 8 bits
    with torch.no_grad():
        expected = network(torch.from_numpy(images)).numpy()
    found = run(artifacts(name, target, precision).path, images)
    assert expected.std() > 1  # a constant would prove nothing
    if precision == "int8":
        assert label_agreement(expected.argmax(1), found.argmax(1)) >= INT8_LABELS
        assert sqnr_db(expected, found) >= INT8_SQNR_DB
    tolerance = parity.asked_of(target, precision, SEGMENTATION, model_of(name).spec.outputs[0])
    if tolerance.sqnr_db is not None:
        assert sqnr_db(expected, found) >= tolerance.sqnr_db
    if tolerance.relative is not None:
        assert np.abs(expected - found).max() <= tolerance.relative * np.abs(expected).max()


@pytest.mark.parametrize(("output", "target"), few(itertools.product(OUTPUTS, ("tflite", "onnx")), 3))
def test_integer_ends_give_the_float_ends_values(output: Output, target: str, artifacts: Artifacts) -> None:
    floats = opened(artifacts("ed", target, "int8", output=output).path)
    integers = opened(artifacts("ed", target, "int8", io="int8", output=output).path)
    types = [t.dtype for t in (*integers.session.inputs, *integers.session.outputs)]
    assert types == ["int8", "int32" if output == "labels" else "int8"]
    assert onenet.verify(integers.path).passed
    feed = {"image": images_of("ed")[:1]}
    expected, found = floats.run(feed)[output], integers.run(feed)[output]
    if output == "labels":
        assert label_agreement(expected, found) >= 0.999
    else:
        step = integers.outputs[0].scale
        assert step is not None
        assert np.abs(expected - found).max() <= 1.001 * step


@pytest.mark.parametrize(
    ("target", "precision"),
    few([*((target, precision) for target in TARGETS for precision in ("fp32", "int8")), ("coreml", "fp16")], 3),
)
def test_probabilities_and_labels_follow_the_logits(target: str, precision: str, artifacts: Artifacts, tmp_path: Path) -> None:
    """fp16 where the target computes in it: the others only store it."""
    images, path = images_of("ed"), artifacts("ed", target, precision).path
    if precision == "int8":
        plain = onenet.calibrate(model_of("ed"), list(three_levels(8, *images.shape[1:])), recipe=PLAIN)
        path = onenet.export(plain, target=target, out=tmp_path).path
    logits = run(path, images)
    probabilities = run(artifacts("ed", target, precision, output="probabilities").path, images)
    labels = run(artifacts("ed", target, precision, output="labels").path, images)
    assert labels.dtype == np.int32
    if precision == "int8":
        # Two values of one step each: rounding may decide between classes that lie so near, on each CPU another way.
        step = np.diff(np.unique(logits)).min()
        taken = np.take_along_axis(logits, labels[:, None].astype(np.int64), 1)[:, 0]
        assert (logits.max(1) - taken).max() <= 2.02 * step
        assert np.mean(labels == logits.argmax(1)) >= INT8_LABELS
    else:
        assert np.array_equal(labels, logits.argmax(1))
    assert np.abs(probabilities.sum(1) - 1).max() <= {"fp32": 1e-6, "fp16": 2e-3, "int8": 3 / 256}[precision]
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert np.abs(probabilities - expected).max() <= {"fp32": 1e-6, "fp16": 1e-3, "int8": 2 / 256}[precision]
    assert label_agreement(labels_of(probabilities, "probabilities"), labels) >= 0.97  # 1/256 apart is a tie in int8


@pytest.mark.parametrize(("output", "precision"), few(itertools.product(OUTPUTS[1:], ("fp32", "fp16", "int8")), 3))
def test_core_ml_takes_every_output(output: Output, precision: str, artifacts: Artifacts) -> None:
    path = artifacts("ed", "coreml", precision, output=output).path
    assert onenet.verify(path).passed
    assert [t.name for t in open_artifact(path).session.outputs] == [output]


@pytest.mark.parametrize(("name", "output"), few(itertools.product(["ed", "ed, spatial"], OUTPUTS), 4))
def test_int8_tflite_computes_in_integers(name: str, output: Output, artifacts: Artifacts) -> None:
    found = litert.operators(artifacts(name, "tflite", "int8", output=output).path)
    in_float = [(place, operator) for place, (operator, types) in enumerate(found) if "float32" in types]
    first, last = (0, "QUANTIZE"), (len(found) - 1, "DEQUANTIZE")
    assert in_float == ([first] if output == "labels" else [first, last])


# ---- what is asked for --------------------------------------------------------------------------------------------


def test_batches_and_channels_are_kept() -> None:
    assert model_of("e, batch of two").spec.inputs[0].shape == (2, 3, 40, 24)
    assert model_of("e, spatial, one channel, tall").spec.inputs[0].shape == (1, 1, 48, 8)


def test_a_calibrated_model_exports_in_float_too_and_int8_is_its_default(tmp_path: Path) -> None:
    quantized = quantized_of("ed")
    found = [onenet.export(quantized, target="onnx", precision=p, out=tmp_path) for p in (None, "fp32")]  # type: ignore[operator]
    assert [each.path.name for each in found] == ["edNone_int8.onnx", "edNone_fp32.onnx"]
    assert found[1].manifest["calibration"] is None


def test_a_model_that_is_not_lowered_is_lowered_first(tmp_path: Path) -> None:
    with quiet():
        model = build(lambda: network_of("ed"))
        artifact = onenet.export(model, target="onnx", out=tmp_path)  # type: ignore[operator]  # a package to call
    assert artifact.manifest["lowering"]["rules"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (dict(target="ncnn"), "target 'ncnn' is not known; supported: tflite, onnx, coreml"),
        (dict(precision="int4"), "precision 'int4' does not exist for tflite; supported: fp32, fp16, int8, w8"),
        (dict(precision="int8"), "int8 needs scales"),
        (dict(io="int8"), "int8 input and output need --precision int8, found fp32"),
        (dict(io="uint8"), "io 'uint8' is not known; supported: float, int8"),
        (dict(target="coreml", precision="int8", io="int8"), "coreml has no int8 input and output"),
    ],
)
def test_what_does_not_exist_is_refused_before_any_work(options: dict[str, Any], text: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=text) as caught:
        onenet.export(model_of("ed"), out=tmp_path / "out", **options)  # type: ignore[operator]  # a package to call
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
