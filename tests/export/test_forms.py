"""The operators that each target's artifacts hold: what lowering promises, read back from the files."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema

from onenet.calibration.decide import apart_in
from onenet.calibration.observe import trace
from onenet.runtimes import open_session
from onenet.runtimes.backends.coreml.package import main_blocks, read_model
from onenet.runtimes.backends.litert import operators
from tests.export.conftest import NETS, SHIPPED, Artifacts, model_of, quantized_of
from tests.export.optimized import optimized_operators
from tests.shared import few

SPATIAL = [name for name, net in NETS.items() if net.kernel is not None]
EVERY = [*NETS, *SHIPPED]
FRAMED = ["onenet-e4"]
"""Whose last convolutions became one, but for a frame along the border; the small networks are hardly more than frame."""


def tflite_ranks(path: Path) -> set[int]:
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    return {len(tensor.shape) for graph in model.subgraphs for tensor in graph.tensors if tensor.shape is not None}


@pytest.mark.parametrize(("name", "precision"), few(itertools.product(EVERY, ("fp32", "int8")), 5))
def test_tflite_is_one_partition_of_few_kinds_of_operators(name: str, precision: str, artifacts: Artifacts) -> None:
    path = artifacts(name, "tflite", precision).path
    found = {operator for operator, _ in operators(path)} - {"QUANTIZE", "DEQUANTIZE"}
    slices = {"SLICE"} if name in SPATIAL or name in FRAMED else set()
    assert found == {"CONV_2D", "DEPTHWISE_CONV_2D", "CONCATENATION", "RESHAPE", "TRANSPOSE"} | slices
    assert max(tflite_ranks(path)) <= 4
    assert open_session(path).runtime.kernels == "XNNPACK, 1 partition"


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize(("name", "transposes"), [("ed", 3), ("ed, spatial", 9), ("e, batch of two", 3)])
def test_tflite_transposes_are_those_of_the_shuffles(name: str, transposes: int, precision: str, artifacts: Artifacts) -> None:
    """One per shuffle, whose convolution orders the channels; two per unshuffle before a spatial convolution."""
    found = Counter(operator for operator, _ in operators(artifacts(name, "tflite", precision).path))
    assert found["TRANSPOSE"] == transposes


@pytest.mark.parametrize("name", few(EVERY, 4))
def test_onnxruntime_computes_every_convolution_of_int8_in_integers(name: str, artifacts: Artifacts, tmp_path: Path) -> None:
    found = optimized_operators(artifacts(name, "onnx", "int8").path, tmp_path)
    assert found["QLinearConv"] > 10
    assert found["Conv"] == found["FusedConv"] == 0
    apart = len(apart_in(trace(model_of(name)), quantized_of(name).record))  # skips on a scale of their own change it once
    assert (found["QuantizeLinear"], found["DequantizeLinear"]) == (1 + apart, 1 + apart)  # the ends
    assert apart <= 1
    assert not apart or name not in SHIPPED


@pytest.mark.parametrize(("name", "precision"), few(itertools.product(EVERY, ("fp32", "int8")), 5))
def test_onnx_has_no_tensor_of_more_than_four_axes(name: str, precision: str, artifacts: Artifacts) -> None:
    model = onnx.shape_inference.infer_shapes(onnx.load(artifacts(name, "onnx", precision).path))
    shapes = [value.type.tensor_type.shape for value in model.graph.value_info]
    assert max(len(shape.dim) for shape in shapes) <= 4


@pytest.mark.parametrize(("name", "precision"), few(itertools.product(EVERY, ("fp32", "fp16", "int8")), 4))
def test_core_ml_keeps_its_pixel_operators(name: str, precision: str, artifacts: Artifacts) -> None:
    path = artifacts(name, "coreml", precision).path
    (block,) = main_blocks(read_model(path), path)
    found = Counter(operation.type for operation in block.operations)
    levels, bands = 4 if name in SHIPPED else 3, 2 if name in FRAMED else 0
    assert found["pixel_shuffle"] == levels + bands
    assert (found["pixel_unshuffle"] > 0) == (name in SPATIAL)  # else it is part of a strided convolution
    ranks = {len(out.type.tensorType.dimensions) for operation in block.operations for out in operation.outputs}
    assert max(ranks) <= 5
