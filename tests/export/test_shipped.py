"""The promises of the README, on the shipped models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from onenet.runtimes import open_session
from onenet.runtimes.litert import operators
from onenet.runtimes.onnxruntime import has_vnni
from tests.export.conftest import SHIPPED, Artifacts

FLOAT_ENDS = {"QUANTIZE", "DEQUANTIZE"}


def kinds(dtypes: tuple[str, ...]) -> set[str]:
    return {np.dtype(each).name for each in dtypes}


@pytest.mark.parametrize("name", SHIPPED)
def test_int8_tflite_computes_in_integers_only(name: str, artifacts: Artifacts) -> None:
    found = operators(artifacts(name, "tflite", "int8", io="int8").path)
    assert set().union(*(kinds(dtypes) for _, dtypes in found)) <= {"int8", "int32"}
    with_float_ends = operators(artifacts(name, "tflite", "int8").path)
    assert [op for op, dtypes in with_float_ends if "float32" in kinds(dtypes)] == ["QUANTIZE", "DEQUANTIZE"]
    assert (with_float_ends[0][0], with_float_ends[-1][0]) == ("QUANTIZE", "DEQUANTIZE")


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_tflite_is_one_partition_without_index_arithmetic(name: str, precision: str, artifacts: Artifacts) -> None:
    path = artifacts(name, "tflite", precision).path
    names = {op for op, _ in operators(path)} - FLOAT_ENDS
    assert names == {"CONV_2D", "DEPTHWISE_CONV_2D", "CONCATENATION", "RESHAPE", "TRANSPOSE"}
    assert open_session(path).runtime["kernels"] == "XNNPACK, 1 partition"


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("target", ["tflite", "onnx"])
def test_int8_file_is_a_third_of_the_fp32_file(name: str, target: str, artifacts: Artifacts) -> None:
    assert artifacts(name, target, "int8").bytes <= 0.30 * artifacts(name, target, "fp32").bytes


def constants(content: bytes) -> int:
    """Bytes of weights and biases."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    metadata: set[Any] = {entry.buffer for entry in model.metadata}
    return sum(len(b.data) for i, b in enumerate(model.buffers) if b.data is not None and i not in metadata)


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_tflite_file_is_little_more_than_its_weights(name: str, precision: str, artifacts: Artifacts) -> None:
    artifact = artifacts(name, "tflite", precision)
    assert artifact.bytes <= 1.10 * constants(artifact.path.read_bytes())


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("target", ["tflite", "onnx"])
def test_int8_keeps_the_labels_and_the_miou(name: str, target: str, artifacts: Artifacts) -> None:
    if target == "onnx" and has_vnni() is False:
        pytest.skip("this CPU's int8 kernels saturate (x86 without VNNI); the artifact is checked in exact arithmetic")
    quality = artifacts(name, target, "int8").quality
    assert quality is not None
    assert quality.label_agreement is not None
    assert quality.miou is not None
    assert quality.miou_float is not None
    assert quality.label_agreement >= 0.99
    assert quality.miou >= quality.miou_float - 0.01


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("target", ["tflite", "onnx"])
def test_fp16_and_fp32_are_close_to_the_float_model(name: str, target: str, artifacts: Artifacts) -> None:
    for precision, least in (("fp16", 50), ("fp32", 100)):
        quality = artifacts(name, target, precision).quality
        assert quality is not None
        assert quality.sqnr_db is not None
        assert quality.sqnr_db >= least
