"""What counts as equal, and that ``verify`` finds every kind of artifact that is not what its manifest says."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from onenet.base.arrays import run_all
from onenet.base.files import sha256_of
from onenet.cli.app import app
from onenet.errors import CheckError, RequestError, ToolError
from onenet.runtimes import golden
from onenet.runtimes.artifact import SCHEMA, sidecar_of
from onenet.runtimes.parity import asked_of
from onenet.runtimes.verify import verify
from onenet.spec import TensorSpec
from onenet.targets import PRECISIONS, TARGETS
from onenet.tasks.classification import TASK as CLASSIFICATION
from onenet.tasks.segmentation import TASK as SEGMENTATION
from tests.null_artifact import IMAGE
from tests.unit.runtimes.artifacts import LOGITS, manifest, write

LABELS = TensorSpec("labels", "labels", (1, 8, 8), dtype="int32")


@pytest.mark.parametrize(("images", "batch"), [(1, 1), (5, 1), (5, 2), (4, 2), (1, 4)])
def test_any_number_of_images_goes_through_any_batch(images: int, batch: int) -> None:
    given = np.arange(images * 2, dtype=np.float32).reshape(images, 2)

    def double(part: np.ndarray) -> np.ndarray:
        assert len(part) == batch
        return part * 2

    assert (run_all(double, given, batch) == given * 2).all()


# --- what is asked --------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS.cards())
def test_every_float_precision_asks_something_of_every_output(target: str) -> None:
    for precision in set(PRECISIONS) - {"int8"}:
        for spec in (LOGITS, LABELS):
            assert asked_of(target, precision, SEGMENTATION, spec).as_dict()


def test_what_is_asked() -> None:
    assert asked_of("tflite", "fp32", SEGMENTATION, LOGITS).as_dict() == {"relative": 2e-5}
    assert asked_of("tflite", "fp16", SEGMENTATION, LOGITS).as_dict() == {"sqnr_db": 50}
    assert asked_of("coreml", "fp16", SEGMENTATION, LOGITS).as_dict() == {"sqnr_db": 40}
    assert asked_of("onnx", "w8", CLASSIFICATION, LOGITS).as_dict() == {"relative": 2e-5, "labels": 0.99}
    assert asked_of("onnx", "int8", SEGMENTATION, LOGITS).as_dict() == {}  # the manifest says it, or nothing is compared


# --- verify, on the runtime that gives zeros -----------------------------


def cli(path: Path) -> tuple[int, Any, str]:
    """Exit code, what ``--json`` printed and the lines on stderr of ``onenet verify``."""
    result = CliRunner().invoke(app, ["verify", str(path), "--json"])
    assert "Traceback" not in result.stderr
    return result.exit_code, json.loads(result.stdout) if result.stdout else None, result.stderr


def test_an_artifact_that_is_what_its_manifest_says(tmp_path: Path) -> None:
    result = verify(write(tmp_path, manifest()))
    assert [(c.name, c.passed) for c in result.checks] == [
        ("bytes", True),
        ("inputs", True),
        ("outputs", True),
        ("values of logits", True),
    ]
    assert (result.passed, result.artifact, result.target, result.precision) == (True, "model.null", "null", "fp32")
    code, document, errors = cli(tmp_path / "model.null")
    assert (code, errors) == (0, "")
    assert document == json.loads(json.dumps([{**result.as_dict(), "hints": []}]))


def test_int8_without_limits_is_not_compared_and_does_not_pass(tmp_path: Path) -> None:
    path = write(tmp_path, manifest(precision="int8"))
    result = verify(path)
    assert (result.checks[-1].passed, result.checks[-1].compared, result.passed) == (None, False, False)
    assert result.checks[-1].detail.startswith("not compared: ")
    assert cli(path)[0] == 1


def test_the_manifest_s_limits_are_the_ones_that_count(tmp_path: Path) -> None:
    """The null runtime gives zeros, the golden output is 1e-3 beside a value of 1: more than 2e-5, and less than 2e-3."""
    values = np.zeros(LOGITS.shape, np.float32)
    values[0, 0, 0, 0] = 1e-3
    far = golden.make_output("logits", values, True, None)
    for limits, passed in (({}, False), ({"limits": {"sqnr_db": -1.0}}, True)):
        pair = {**manifest()["golden"], "outputs": [far | limits]}
        assert verify(write(tmp_path, manifest(golden=pair))).passed is passed


def test_without_the_file_beside_it_the_bytes_are_not_checked(tmp_path: Path) -> None:
    result = verify(write(tmp_path, manifest(), beside=False))
    assert result.passed
    assert (result.checks[0].name, result.checks[0].passed) == ("bytes", None)


def test_changed_bytes_fail_whatever_they_compute(tmp_path: Path) -> None:
    path = write(tmp_path, manifest())
    path.write_text(path.read_text() + " ")
    result = verify(path)
    assert not result.passed
    assert result.checks[0].passed is False
    assert f"{sha256_of(path)[:12]}, " in result.checks[0].detail
    code, document, errors = cli(path)
    assert (code, errors) == (1, "")
    assert document[0]["passed"] is False
    table = CliRunner().invoke(app, ["verify", str(path)])
    assert (table.exit_code, "FAILED" in table.stdout) == (1, True)


OTHER = golden.make_output("logits", np.ones(LOGITS.shape, np.float32), True, None)
SMALL = golden.make_output("logits", np.zeros((1, 3, 4, 4), np.float32), True, None)


@pytest.mark.parametrize(
    ("session", "outputs", "name", "says"),
    [
        ({"inputs": [asdict(replace(IMAGE, name="x"))]}, None, "inputs", "names ['image'] expected, found ['x']"),
        ({"outputs": [asdict(LOGITS), asdict(LABELS)]}, None, "outputs", "found ['logits', 'labels']"),
        ({"outputs": [asdict(replace(LOGITS, shape=(1, 2, 8, 8)))]}, None, "outputs", "found float32 (1, 2, 8, 8)"),
        ({"inputs": [asdict(replace(IMAGE, dtype="int8"))]}, None, "inputs", "found int8 (1, 3, 8, 8)"),
        ({}, OTHER, "values of logits", "relative difference 1.0e+00"),
        ({}, SMALL, "values of logits", "the golden output has shape (16, 3), the artifact gives (64, 3)"),
    ],
)
def test_an_artifact_that_is_another(
    tmp_path: Path, session: dict[str, Any], outputs: dict[str, Any] | None, name: str, says: str
) -> None:
    pair = manifest()["golden"]
    path = write(tmp_path, manifest(golden={**pair, "outputs": [outputs]} if outputs else pair), **session)
    failed = [check for check in verify(path).checks if check.passed is False]
    assert [check.name for check in failed] == [name]
    assert says in failed[0].detail
    assert cli(path)[0] == 1


def without(key: str) -> dict[str, Any]:
    return {k: v for k, v in manifest().items() if k != key}


def edited(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """The manifest after an edit of its golden pair."""
    content: dict[str, Any] = json.loads(json.dumps(manifest()))
    change(content["golden"])
    return content


@pytest.mark.parametrize(
    ("embedded", "says"),
    [
        (None, "carries no onenet manifest"),
        (manifest(schema=SCHEMA + 1), f"has manifest schema {SCHEMA + 1}; this version reads {SCHEMA}"),
        (without("schema"), "has manifest schema None"),
        (without("golden"), "lacks golden"),
        (without("inputs"), "lacks inputs"),
        (manifest(precision="w4"), "has precision 'w4'; this version checks fp32, fp16, int8, w8"),
        (manifest(inputs=[{"name": "image"}]), "the manifest of model.null is damaged"),
        (manifest(outputs=3), "the manifest of model.null is damaged"),
        (manifest(golden=[]), "the golden pair of model.null is damaged"),
        (edited(lambda pair: pair["inputs"].clear()), "the golden pair of model.null is damaged"),
        (edited(lambda pair: pair["inputs"][0].update(data="####")), "the golden pair of model.null is damaged"),
        (edited(lambda pair: pair["inputs"][0].update(shape=[1, 3, 5, 5])), "the golden pair of model.null is damaged"),
        (edited(lambda pair: pair["outputs"][0].update(dtype="nothing")), "the golden pair of model.null is damaged"),
        (edited(lambda pair: pair["outputs"][0].update(stride=0)), "the golden pair of model.null is damaged"),
        (edited(lambda pair: pair["outputs"][0].update(limits={"relative": "2"})), "the golden pair of model.null is damaged"),
        (edited(lambda pair: pair["outputs"][0].update(limits={"steps": 2})), "the golden pair of model.null is damaged"),
        (edited(lambda pair: pair["outputs"][0].update(float={})), "the golden pair of model.null is damaged"),
    ],
)
def test_manifests_that_cannot_be_checked_against(tmp_path: Path, embedded: dict[str, Any] | None, says: str) -> None:
    path = write(tmp_path, embedded, beside=False)
    with pytest.raises(CheckError) as caught:
        verify(path)
    assert says in str(caught.value)
    code, document, errors = cli(path)
    assert (code, document) == (1, None)
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1


@pytest.mark.parametrize("content", ["{", "[]", '{"artifact": []}', '{"artifact": {}}'])
def test_a_file_beside_the_artifact_that_is_no_manifest(tmp_path: Path, content: str) -> None:
    path = write(tmp_path, manifest())
    sidecar_of(path).write_text(content)
    if content == "{":
        with pytest.raises(CheckError, match=r"model\.null\.json is not JSON"):
            verify(path)
    else:
        assert verify(path).checks[0].passed is None


def test_files_that_are_no_artifact(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="does not exist"):
        verify(tmp_path / "nothing.tflite")
    (tmp_path / "net.pt").touch()
    with pytest.raises(RequestError, match=r"suffix '\.pt'; supported: \.tflite, \.onnx, \.mlpackage"):
        verify(tmp_path / "net.pt")
    (tmp_path / "a.null").mkdir()
    with pytest.raises(ToolError, match=r"a\.null cannot be read"):
        verify(tmp_path / "a.null")
    assert cli(tmp_path / "nothing.tflite")[0] == 2
    assert cli(tmp_path / "a.null")[0] == 3
