"""What is changed in a flatbuffer after its conversion. Whole artifacts: ``tests/export``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from onenet.exporters.tflite import EXPORTER, pack, unique, unpack, with_float_ends

schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
litert = pytest.importorskip("ai_edge_litert.interpreter")


def tensor(name: str, scale: float, zero_point: int) -> object:
    made = schema.TensorT()
    made.name, made.shape, made.type, made.buffer = name.encode(), np.array([1, 4], np.int32), schema.TensorType.INT8, 0
    made.quantization = schema.QuantizationParametersT()
    made.quantization.scale = np.array([scale], np.float32)
    made.quantization.zeroPoint = np.array([zero_point], np.int64)
    made.hasRank = True
    return made


def entry(name: str, index: int) -> object:
    made = schema.TensorMapT()
    made.name, made.tensorIndex = name.encode(), index
    return made


@pytest.fixture
def content() -> bytes:
    """int8 x -> QUANTIZE -> int8 y of twice the scale."""
    model, graph, code, operator = schema.ModelT(), schema.SubGraphT(), schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.QUANTIZE
    code.version = 2
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, np.array([0], np.int32), np.array([1], np.int32)
    graph.tensors, graph.operators = [tensor("x", 0.5, 3), tensor("y", 1.0, -2)], [operator]
    graph.inputs, graph.outputs = np.array([0], np.int32), np.array([1], np.int32)
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
    signature.inputs, signature.outputs = [entry("image", 0)], [entry("logits", 1)]
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers, model.signatureDefs = [schema.BufferT()], [signature]
    return pack(model)


def outputs(content: bytes, values: np.ndarray) -> np.ndarray:
    runner = litert.Interpreter(model_content=content).get_signature_runner("serving_default")
    return np.asarray(runner(image=values)["logits"])


def test_float_ends_hold_the_int8_ends_values(content: bytes) -> None:
    floats = np.array([[-3.0, 0.0, 2.0, 9.0]], np.float32)
    stored = (floats / 0.5 + 3).astype(np.int8)
    expected = (outputs(content, stored).astype(np.float32) + 2) * 1.0
    assert np.array_equal(outputs(with_float_ends(content), floats), expected)


def test_scales_of_the_ends_by_signature_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(content)
    assert EXPORTER.io_quantization(path) == {"image": (0.5, 3), "logits": (1.0, -2)}
    path.write_bytes(with_float_ends(content))
    assert EXPORTER.io_quantization(path) == {}


def test_a_manifest_is_inside_and_nothing_else_changes(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(content)
    EXPORTER.embed(path, "{}")
    model = unpack(path.read_bytes())
    (metadata,) = model.metadata
    assert (metadata.name, bytes(model.buffers[metadata.buffer].data)) == (b"onenet", b"{}")
    values = np.arange(4, dtype=np.int8)[None]
    assert np.array_equal(outputs(path.read_bytes(), values), outputs(content, values))


def test_a_taken_name_gets_a_number() -> None:
    taken: set[str] = set()
    assert [unique("relu", taken) for _ in range(3)] == ["relu", "relu.1", "relu.2"]
