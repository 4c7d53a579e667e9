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
from onenet.runtimes.parity import TOLERANCES, Check, compare
from onenet.runtimes.verify import verify
from onenet.spec import TensorSpec
from onenet.targets import PRECISIONS
from onenet.tasks.classification import TASK as CLASSIFICATION
from onenet.tasks.segmentation import TASK as SEGMENTATION
from tests.null_artifact import IMAGE
from tests.unit.runtimes.artifacts import LOGITS, manifest, write

LABELS = TensorSpec("labels", "labels", (1, 8, 8), dtype="int32")
STEP = 0.125


def values(seed: int = 0, pixels: int = 1000, channels: int = 3) -> np.ndarray:
    """(pixels, channels) whose largest value is 1; no two channels of a pixel are nearer than two steps."""
    order = np.argsort(np.random.default_rng(seed).random((pixels, channels)), 1).astype(np.float32)
    return order / (channels - 1)


# --- tolerances ---------------------------------------------------------


def test_every_precision_that_exists_has_a_tolerance() -> None:
    assert set(TOLERANCES) == set(PRECISIONS)
    assert TOLERANCES["fp32"].relative == TOLERANCES["w8"].relative == 2e-5
    assert TOLERANCES["fp16"].sqnr_db == 50
    assert (TOLERANCES["int8"].mean_steps, TOLERANCES["int8"].agreement) == (1.0, 0.99)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_equal_values_pass(precision: str) -> None:
    check = compare(SEGMENTATION, LOGITS, TOLERANCES[precision], values(), values(), STEP)
    assert check.passed is True
    assert check.name == "values of logits"
    assert check.detail


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_value_that_is_no_number_fails(precision: str, bad: float) -> None:
    found = values()
    found[500, 1] = bad
    for whose, pair in (("output", (values(), found)), ("reference", (found, values()))):
        expected = Check("values of logits", False, f"the {whose} holds NaN or infinity")
        assert compare(SEGMENTATION, LOGITS, TOLERANCES[precision], *pair, STEP) == expected


@pytest.mark.parametrize(("error", "passed"), [(1.9e-5, True), (2.2e-5, False)])
def test_fp32_is_held_to_2e_5_of_the_largest_value(error: float, passed: bool) -> None:
    reference = values() * 100
    found = reference.astype(np.float64)
    found[7, 2] += error * 100
    check = compare(SEGMENTATION, LOGITS, TOLERANCES["fp32"], reference, found, None)
    assert check.passed is passed
    assert "relative difference" in check.detail


@pytest.mark.parametrize(("decibels", "passed"), [(51, True), (49, False)])
def test_fp16_is_held_to_50_db(decibels: int, passed: bool) -> None:
    reference = values()
    noise = np.random.default_rng(3).choice([-1.0, 1.0], reference.shape)
    noise *= np.sqrt(np.square(reference).mean()) * 10 ** (-decibels / 20)
    check = compare(SEGMENTATION, LOGITS, TOLERANCES["fp16"], reference, reference + noise, None)
    assert check.passed is passed
    assert f"SQNR {decibels}.0 dB (>= 50)" in check.detail


@pytest.mark.parametrize(("steps", "passed"), [(0.99, True), (1.01, False)])
def test_int8_may_be_one_step_off_on_average(steps: float, passed: bool) -> None:
    # The same shift for all classes changes no label.
    check = compare(SEGMENTATION, LOGITS, TOLERANCES["int8"], values(), values() + np.float32(steps * STEP), STEP)
    assert check.passed is passed
    assert "labels agree on 100.00%" in check.detail


@pytest.mark.parametrize(("wrong", "passed"), [(10, True), (11, False)])
def test_int8_may_change_one_label_of_a_hundred(wrong: int, passed: bool) -> None:
    reference = values()
    found = reference.copy()
    found[:wrong] = found[:wrong, ::-1]
    found[:wrong, 1] = -1  # where the middle class was the largest, turning the pixel round changes nothing
    found[:wrong, 0] = np.where(reference[:wrong].argmax(1) == 0, -2, 2)
    check = compare(SEGMENTATION, LOGITS, TOLERANCES["int8"], reference, found, 1.0)
    assert check.passed is passed
    assert f"{1 - wrong / 1000:.2%}" in check.detail


def test_one_class_alone_has_no_labels_to_agree_on() -> None:
    check = compare(SEGMENTATION, LOGITS, TOLERANCES["int8"], values()[:, :1], values()[:, :1], STEP)
    assert check.passed is True
    assert "labels" not in check.detail


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("wrong", "passed"), [(0, True), (10, True), (11, False)])
def test_labels_are_compared_as_labels(precision: str, wrong: int, passed: bool) -> None:
    reference = np.random.default_rng(0).integers(0, 5, (1000, 1)).astype(np.int32)
    found = reference.copy()
    found[:wrong] += 1
    check = compare(SEGMENTATION, LABELS, TOLERANCES[precision], reference, found, None)
    assert check.passed is passed
    assert check.name == "values of labels"


@pytest.mark.parametrize(("images", "batch"), [(1, 1), (5, 1), (5, 2), (4, 2), (1, 4)])
def test_any_number_of_images_goes_through_any_batch(images: int, batch: int) -> None:
    given = np.arange(images * 2, dtype=np.float32).reshape(images, 2)

    def double(part: np.ndarray) -> np.ndarray:
        assert len(part) == batch
        return part * 2

    assert (run_all(double, given, batch) == given * 2).all()


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


@pytest.mark.parametrize(("steps", "passed"), [(7, True), (9, False)])
def test_one_class_of_a_thousand_is_not_hidden_by_the_mean(steps: int, passed: bool) -> None:
    spec = TensorSpec("logits", "logits", (1, 1000), "NC")
    reference = np.linspace(0, 100, 1000, dtype=np.float32)[None]
    found = reference.copy()
    found[0, 500] += steps * STEP
    check = compare(CLASSIFICATION, spec, TOLERANCES["int8"], reference, found, STEP)
    assert check.passed is passed
    assert f"0.01 steps off on average (<= 1), {steps}.0 at most (<= 8), top-1 classes agree on 100.00%" in check.detail
