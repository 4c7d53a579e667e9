"""What stands around every runtime, tried on the one that computes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onenet.base.host import require
from onenet.errors import CheckError, RequestError, ToolError
from onenet.runtimes import open_session, read_manifest
from onenet.runtimes.session import parse_manifest
from onenet.runtimes.tensors import dequantize, quantize
from onenet.spec import TensorSpec

IMAGE = TensorSpec("image", "image", (1, 3, 4, 4), "NCHW", value_range=(0.0, 1.0))
STEP = TensorSpec("step", "scalar", (), dtype="int32")
LOGITS = TensorSpec("logits", "logits", (1, 2, 4, 4), "NCHW", dtype="int8", scale=0.5, zero_point=-3)


def write(path: Path, **extra: Any) -> Path:
    content = {"inputs": [asdict(IMAGE), asdict(STEP)], "outputs": [asdict(LOGITS)], **extra}
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return write(tmp_path / "model.null")


def feeds() -> dict[str, Any]:
    return {"image": np.zeros((1, 3, 4, 4), np.float32), "step": np.zeros((), np.int32)}


def test_a_session_has_the_declared_signature_and_gives_zeros(artifact: Path) -> None:
    session = open_session(artifact)
    assert session.inputs == (IMAGE, STEP)
    assert session.outputs == (LOGITS,)
    assert session.runs_here
    assert set(session.runtime.as_dict()) == {"name", "version", "kernels"}
    result = session.run(feeds())
    assert list(result) == ["logits"]
    assert result["logits"].dtype == np.int8
    assert result["logits"].shape == (1, 2, 4, 4)
    assert not result["logits"].any()


def test_an_open_axis_takes_any_length(tmp_path: Path) -> None:
    spec = asdict(TensorSpec("x", "image", (-1, 2)))
    path = tmp_path / "open.null"
    path.write_text(json.dumps({"inputs": [spec], "outputs": [spec]}))
    for length in (1, 5):
        assert open_session(path).run({"x": np.zeros((length, 2), np.float32)})["x"].shape == (1, 2)
    with pytest.raises(RequestError, match=r"float32 \?x2; found float32 1x3"):
        open_session(path).run({"x": np.zeros((1, 3), np.float32)})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"image": np.zeros((1, 4, 4, 3), np.float32)}, "image is float32 1x3x4x4; found float32 1x4x4x3"),
        ({"image": np.zeros((1, 3, 4, 4), np.float64)}, "image is float32 1x3x4x4; found float64 1x3x4x4"),
        ({"image": np.zeros((3, 4, 4), np.float32)}, "image is float32 1x3x4x4; found float32 3x4x4"),
        ({"step": np.zeros((1,), np.int32)}, "step is int32 scalar; found int32 1"),
        ({"input": np.zeros(1)}, "takes inputs image, step; found image, input, step"),
    ],
)
def test_wrong_feeds_are_named(artifact: Path, change: dict[str, Any], text: str) -> None:
    with pytest.raises(RequestError, match=text) as caught:
        open_session(artifact).run({**feeds(), **change})
    assert "\n" not in str(caught.value)


def test_missing_feeds_are_named(artifact: Path) -> None:
    with pytest.raises(RequestError, match="takes inputs image, step; found none"):
        open_session(artifact).run({})


def test_an_unknown_suffix_lists_the_known_ones(tmp_path: Path) -> None:
    for ask in (open_session, read_manifest):
        with pytest.raises(RequestError, match=r"'\.pt'; supported: \.tflite, \.onnx, \.mlpackage, \.null"):
            ask(tmp_path / "model.pt")


def test_a_missing_file_and_no_threads_are_refused(artifact: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="does not exist"):
        open_session(tmp_path / "none.onnx")
    with pytest.raises(RequestError, match="0 threads"):
        open_session(artifact, threads=0)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"inputs": [{"name": "x"}], "outputs": []}'])
def test_a_damaged_file_is_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "bad.null"
    path.write_text(content)
    with pytest.raises(ToolError, match=r"^bad\.null") as caught:
        open_session(path)
    assert "\n" not in str(caught.value)


def test_the_embedded_manifest_is_read(artifact: Path, tmp_path: Path) -> None:
    assert read_manifest(artifact) is None
    assert read_manifest(write(tmp_path / "with.null", onenet={"schema": 1})) == {"schema": 1}
    with pytest.raises(CheckError, match="not an object"):
        read_manifest(write(tmp_path / "bad.null", onenet="text"))


def test_a_damaged_manifest_fails_its_check() -> None:
    with pytest.raises(CheckError, match=r"inside m\.onnx is not JSON"):
        parse_manifest("{", "m.onnx")
    with pytest.raises(CheckError, match="JSON list"):
        parse_manifest("[]", "m.onnx")


def test_a_missing_package_says_what_to_install() -> None:
    with pytest.raises(ToolError, match=r'no_such_package cannot be imported .* pip install "onenet-export\[runtime\]"'):
        require("no_such_package.part")


def test_importing_the_package_loads_no_runtime() -> None:
    heavy = "{'onnxruntime', 'ai_edge_litert', 'coremltools'}"
    code = f"import onenet.runtimes, sys; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_quantise_rounds_half_to_even_and_saturates() -> None:
    spec = TensorSpec("x", "image", (7,), dtype="int8", scale=0.5, zero_point=-3)
    values = np.array([0.25, 0.75, -0.25, -0.75, 1000.0, -1000.0, 0.0], np.float32)
    stored = quantize(values, spec)
    assert stored.dtype == np.int8
    assert stored.tolist() == [-3, -1, -3, -5, 127, -128, -3]
    assert dequantize(stored, spec).tolist() == [0.0, 1.0, 0.0, -1.0, 65.0, -62.5, 0.0]
    assert dequantize(stored, spec).dtype == np.float32


def test_every_stored_value_survives_the_round_trip() -> None:
    spec = TensorSpec("x", "image", (256,), dtype="int8", scale=1 / 255, zero_point=-128)
    stored = np.arange(-128, 128).astype(np.int8)
    assert (quantize(dequantize(stored, spec), spec) == stored).all()


def test_without_a_scale_values_pass() -> None:
    spec = TensorSpec("x", "labels", (2,), dtype="int32")
    values = np.array([1, 2], np.int32)
    assert quantize(values, spec) is values
    assert dequantize(values, spec) is values
    assert dequantize(np.array([1.5], np.float16), spec).dtype == np.float32


def test_nan_has_no_integer() -> None:
    with pytest.raises(RequestError, match="input logits holds NaN"):
        quantize(np.array([np.nan], np.float32), LOGITS)
