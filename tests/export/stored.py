"""What a quantized artifact stores, read from the file itself: each layer's weights and bias, and every activation's scale."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from onnx import numpy_helper

from onenet.calibration.quantized import QuantizedModel
from onenet.exporters import tflite
from onenet.lowering.operators import RELU, WEIGHTED
from onenet.runtimes.backends.coreml.package import CoreMLPackage, main_blocks
from onenet.runtimes.backends.coreml.program import constant, enum_name

Array = NDArray[Any]
Pair = tuple[np.float32, int]
"""Scale, and zero point as of int8, whatever type the file stores."""


@dataclass(frozen=True, eq=False)
class StoredLayer:
    """A convolution or linear layer. None: that is float."""

    weights: Array
    """(O, ...) int8, or float32."""
    scales: NDArray[np.float32] | None
    """(O,) of the weights."""
    bias: Array | None
    """(O,) int32, or float32."""
    bias_scales: NDArray[np.float32] | None
    source: Pair | None
    result: Pair | None


@dataclass(frozen=True, eq=False)
class Stored:
    layers: dict[str, StoredLayer]
    activations: set[Pair]


def read(path: Path, quantized: QuantizedModel) -> Stored:
    """An artifact's layers by their operators' names, and the scales of all its activations."""
    file: Any = {".tflite": TFLite, ".onnx": Onnx, ".mlpackage": CoreML}[path.suffix](path)
    names, layers = names_of(quantized), list(file.layers())
    found = {names[name]: layer for name, layer in layers}
    assert len(found) == len(layers)
    return Stored(found, {pair for pair in file.activations() if pair is not None})


def names_of(quantized: QuantizedModel) -> dict[str, str]:
    """What an artifact may call a layer -> its operator: its own name, that of the ReLU behind it, that of the output."""
    found = {}
    for node in quantized.reference.graph.nodes:
        if node.target in WEIGHTED:
            last = next((user for user in node.users if user.target in RELU), node)
            found |= dict.fromkeys((node.name, last.name, quantized.spec.outputs[0].name), node.name)
    return found


class TFLite:
    def __init__(self, path: Path) -> None:
        self.model = tflite.unpack(path.read_bytes())
        self.graph = self.model.subgraphs[0]
        self.makers = {int(index): each for each in self.graph.operators for index in each.outputs}

    def layers(self) -> Iterator[tuple[str, StoredLayer]]:
        for each in self.graph.operators:
            if tflite.code_of(self.model, each) not in tflite.WEIGHTED:
                continue
            maker = self.makers.get(int(each.inputs[1]))  # int8 weights in float arithmetic are behind a DEQUANTIZE
            weight = self.graph.tensors[maker.inputs[0] if maker else each.inputs[1]]
            bias = self.graph.tensors[each.inputs[2]] if len(each.inputs) > 2 and each.inputs[2] >= 0 else None
            stored = StoredLayer(
                np.moveaxis(
                    self.values(weight), weight.quantization.quantizedDimension if self.scales(weight) is not None else 0, 0
                ),
                self.scales(weight),
                None if bias is None else self.values(bias),
                None if bias is None else self.scales(bias),
                self.pair(each.inputs[0]),
                self.pair(each.outputs[0]),
            )
            yield self.graph.tensors[each.outputs[0]].name.decode(), stored

    def activations(self) -> Iterator[Pair | None]:
        return (self.pair(index) for each in self.graph.operators for index in (*each.inputs, *each.outputs) if index >= 0)

    def values(self, tensor: Any) -> Array:
        kinds = {schema.TensorType.INT8: np.int8, schema.TensorType.INT32: np.int32, schema.TensorType.FLOAT32: np.float32}
        return np.asarray(self.model.buffers[tensor.buffer].data).view(kinds[tensor.type]).reshape(tensor.shape)

    def scales(self, tensor: Any) -> NDArray[np.float32] | None:
        quantization = tensor.quantization
        if quantization is None or quantization.scale is None or not len(quantization.scale):
            return None
        if tensor.type == schema.TensorType.INT8 and self.model.buffers[tensor.buffer].data is not None:
            assert not np.any(quantization.zeroPoint)
        return np.asarray(quantization.scale)

    def pair(self, index: int) -> Pair | None:
        tensor = self.graph.tensors[index]
        if tensor.type != schema.TensorType.INT8 or self.model.buffers[tensor.buffer].data is not None:
            return None
        (scale,), (zero_point,) = tensor.quantization.scale, tensor.quantization.zeroPoint
        return np.float32(scale), int(zero_point)


class Onnx:
    def __init__(self, path: Path) -> None:
        self.graph = onnx.load(path).graph
        self.constants = {each.name: numpy_helper.to_array(each) for each in self.graph.initializer}
        self.makers = {name: node for node in self.graph.node for name in node.output}
        self.readers: dict[str, list[Any]] = {}
        for node in self.graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)

    def layers(self) -> Iterator[tuple[str, StoredLayer]]:
        for node in self.graph.node:
            if node.op_type not in ("Conv", "Gemm", "MatMul"):
                continue
            behind = self.makers.get(node.input[1])
            weights, scales = self.constants.get(node.input[1]), None
            if behind is not None:
                weights, scales, zero_points = (self.constants[name] for name in behind.input)
                assert behind.op_type == "DequantizeLinear"
                assert [each.i for each in behind.attribute if each.name == "axis"] == [0]
                assert not zero_points.any()
            bias = self.constants[node.input[2]] if len(node.input) > 2 else None
            assert weights is not None
            source = self.pair(self.makers.get(node.input[0]))
            yield node.name.removeprefix("node_"), StoredLayer(weights, scales, bias, None, source, self.result(node))

    def result(self, node: Any) -> Pair | None:
        readers = self.readers.get(node.output[0], [])
        if len(readers) == 1 and readers[0].op_type == "Relu":
            readers = self.readers.get(readers[0].output[0], [])
        pairs = {self.pair(each) for each in readers if each.op_type == "QuantizeLinear"}
        return pairs.pop() if len(pairs) == 1 else None

    def activations(self) -> Iterator[Pair | None]:
        return (self.pair(node) for node in self.graph.node)

    def pair(self, node: Any) -> Pair | None:
        """Of a quantize or dequantize operator on an activation."""
        if node is None or node.op_type not in ("QuantizeLinear", "DequantizeLinear") or node.input[0] in self.constants:
            return None
        scale, zero_point = (self.constants[name] for name in node.input[1:3])
        assert (scale.dtype, zero_point.shape) == (np.float32, ())
        return scale[()], int(zero_point) - (128 if zero_point.dtype == np.uint8 else 0)


class CoreML:
    def __init__(self, path: Path) -> None:
        self.package = CoreMLPackage(path, native=False)
        (block,) = main_blocks(self.package.model, path)
        self.operations = list(block.operations)
        self.makers = {output.name: each for each in self.operations for output in each.outputs}

    def layers(self) -> Iterator[tuple[str, StoredLayer]]:
        for each in self.operations:
            if each.type not in ("conv", "linear"):
                continue
            behind = self.makers[self.name(each, "weight")]
            weights, scales = self.value(behind, "val"), None
            if behind.type == "constexpr_affine_dequantize":
                weights, scales, zero_points = (self.value(behind, key) for key in ("quantized_data", "scale", "zero_point"))
                assert not np.any(zero_points)
                assert self.value(behind, "axis") == 0
            bias = self.value(self.makers[self.name(each, "bias")], "val") if "bias" in each.inputs else None
            source = self.pair(self.makers.get(self.name(each, "x")))
            yield each.outputs[0].name, StoredLayer(weights, scales, bias, None, source, self.result(each.outputs[0].name))

    def result(self, name: str) -> Pair | None:
        readers = self.readers(name)
        if [each.type for each in readers] == ["relu"]:
            readers = self.readers(readers[0].outputs[0].name)
        pairs = {self.pair(each) for each in readers if each.type == "quantize"}
        return pairs.pop() if len(pairs) == 1 else None

    def readers(self, name: str) -> list[Any]:
        return [each for each in self.operations if any(name == a.name for v in each.inputs.values() for a in v.arguments)]

    def activations(self) -> Iterator[Pair | None]:
        return (self.pair(each) for each in self.operations)

    def pair(self, operation: Any) -> Pair | None:
        if operation is None or operation.type not in ("quantize", "dequantize"):
            return None
        scale = self.argument(operation, "scale")
        integers = operation.outputs[0] if operation.type == "quantize" else self.output(self.name(operation, "input"))
        is_uint8 = enum_name(integers.type.tensorType, "dataType") == "UINT8"
        zero_point = int(self.argument(operation, "zero_point")) if "zero_point" in operation.inputs else 0
        return np.float32(scale), zero_point - (128 if is_uint8 else 0)

    def output(self, name: str) -> Any:
        return next(each for each in self.makers[name].outputs if each.name == name)

    def name(self, operation: Any, key: str) -> str:
        (argument,) = operation.inputs[key].arguments
        return str(argument.name)

    def argument(self, operation: Any, key: str) -> Array:
        (argument,) = operation.inputs[key].arguments
        if argument.WhichOneof("binding") == "name":
            return self.value(self.makers[argument.name], "val")
        return constant(argument.value, self.package.read_blob)

    def value(self, operation: Any, key: str) -> Array:
        """A constant that an operation holds."""
        found: Array = (
            constant(operation.attributes[key], self.package.read_blob) if key in operation.attributes else np.array(None)
        )
        return found
