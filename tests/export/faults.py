"""Faults planted in finished artifacts, one class per format with the same methods; each changes one layer in place.

``layer`` is a layer's operators: (``conv2d_3``, ``relu_2``) or (``cat``,). Weights are (O, ...) with output channels first.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
from onnx import numpy_helper

from onenet.exporters import tflite
from onenet.runtimes import read_manifest
from onenet.runtimes.backends.coreml.package import MODEL, ROOT, main_blocks, read_model
from onenet.runtimes.seal import FIELD, OPEN, contents, seal

Edit = Callable[[np.ndarray], np.ndarray]
Layer = tuple[str, ...]


def flip_high_bit(weights: np.ndarray) -> np.ndarray:
    """The weight of the largest magnitude with another value of its highest bit below the sign; in float, of the exponent."""
    changed = np.ascontiguousarray(weights).copy()
    flat = changed.reshape(-1)
    bits = flat.view(f"u{flat.itemsize}")
    bits[np.abs(weights.astype(np.float32)).argmax()] ^= {1: 1 << 6, 2: 1 << 10, 4: 1 << 23}[flat.itemsize]
    return changed


def reverse_rows(weights: np.ndarray) -> np.ndarray:
    """A kernel with its rows upside down, (O, I, kH, kW): what reads an unshuffle's channels in another order."""
    return np.ascontiguousarray(weights[:, :, ::-1])


def larger_first_channel(scales: np.ndarray) -> np.ndarray:
    changed = scales.copy()
    changed.reshape(-1)[0] *= np.float32(1.5)
    return changed


def reseal(path: Path) -> None:
    """Renew the digest of a changed artifact's content: as if it had been exported so."""
    old = str((read_manifest(path) or {})[FIELD]).encode()
    for file, content in contents(path):
        if old in content:
            file.write_bytes(content.replace(old, OPEN.encode()))
    seal(path)


class TFLite:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.model = tflite.unpack(path.read_bytes())
        self.graph = self.model.subgraphs[0]

    def save(self) -> None:
        self.path.write_bytes(tflite.pack(self.model))

    def operator(self, layer: Layer) -> Any:
        names = {name.encode() for name in layer}
        return next(o for o in self.graph.operators if self.graph.tensors[o.outputs[0]].name in names)

    def swap_concat(self, layer: Layer) -> None:
        operator = self.operator(layer)
        operator.inputs = operator.inputs[::-1].copy()

    def drop_relu(self, layer: Layer) -> None:
        options = self.operator(layer).builtinOptions
        assert options.fusedActivationFunction == schema.ActivationFunctionType.RELU
        options.fusedActivationFunction = schema.ActivationFunctionType.NONE

    def scale_activation(self, layer: Layer, factor: float) -> None:
        quantization = self.graph.tensors[self.operator(layer).outputs[0]].quantization
        quantization.scale = quantization.scale * np.float32(factor)

    def scale_weight(self, layer: Layer) -> None:
        quantization = self.graph.tensors[self.operator(layer).inputs[1]].quantization
        quantization.scale = larger_first_channel(quantization.scale)

    def weight(self, place: int) -> Any:
        """The stored tensor that a tensor is, or is made of: in w8 an operator turns int8 weights into floats."""
        maker = next((o for o in self.graph.operators if place in list(o.outputs)), None)
        return self.graph.tensors[place] if maker is None else self.weight(maker.inputs[0])

    def edit_weight(self, layer: Layer, edit: Edit) -> None:
        tensor = self.weight(self.operator(layer).inputs[1])
        buffer = self.model.buffers[tensor.buffer]
        kind = {schema.TensorType.INT8: np.int8, schema.TensorType.FLOAT32: np.float32}[tensor.type]
        weights = np.asarray(buffer.data).view(kind).reshape(tensor.shape).transpose(0, 3, 1, 2)  # OHWI in the file
        buffer.data = np.ascontiguousarray(edit(weights).transpose(0, 2, 3, 1)).reshape(-1).view(np.uint8)

    def mix_pixels(self, layer: Layer) -> None:
        """The transpose inside a pixel shuffle leaves every axis where it is."""
        operator = self.operator(layer)
        buffer = self.model.buffers[self.graph.tensors[operator.inputs[1]].buffer]
        buffer.data = np.arange(len(buffer.data) // 4, dtype=np.int32).view(np.uint8)
        tensors = [self.graph.tensors[index] for index in (operator.outputs[0], operator.inputs[0])]
        tensors[0].shape = tensors[1].shape


class Onnx:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.model = onnx.load(path)
        self.graph = self.model.graph
        self.constants = {each.name: each for each in self.graph.initializer}

    def save(self) -> None:
        self.path.write_bytes(self.model.SerializeToString(deterministic=True))

    def node(self, layer: Layer, *kinds: str) -> Any:
        """By its result's name; a ReLU on integers has only a name of its own."""

        def is_it(node: Any) -> bool:
            return node.output[0] in layer or node.name.removeprefix("node_").removesuffix("_integer") in layer

        return next(n for n in self.graph.node if is_it(n) and (not kinds or n.op_type in kinds))

    def readers(self, name: str) -> list[Any]:
        return [node for node in self.graph.node if name in node.input]

    def replace(self, name: str, edit: Edit) -> str:
        """A changed copy of a constant: operators share them."""
        new = f"{name}_changed"
        self.graph.initializer.append(numpy_helper.from_array(edit(numpy_helper.to_array(self.constants[name])), new))
        return new

    def swap_concat(self, layer: Layer) -> None:
        node = self.node(layer, "Concat")
        names = list(node.input)
        node.input[:] = names[::-1]

    def drop_relu(self, layer: Layer) -> None:
        relu = self.node(layer, "Relu", "Clip")
        for reader in self.readers(relu.output[0]):
            reader.input[:] = [relu.input[0] if name == relu.output[0] else name for name in reader.input]
        self.graph.node.remove(relu)

    def scale_activation(self, layer: Layer, factor: float) -> None:
        (quantize,) = [n for name in layer for n in self.readers(self.node((name,)).output[0]) if n.op_type == "QuantizeLinear"]
        new = self.replace(quantize.input[1], lambda scale: (scale * np.float32(factor)).astype(np.float32))
        for node in (quantize, *self.readers(quantize.output[0])):
            node.input[1] = new

    def weight(self, layer: Layer) -> tuple[Any, int, str]:
        """The node that reads the stored weights, at which input, and their name."""
        conv = self.node(layer, "Conv")
        behind = next((n for n in self.graph.node if conv.input[1] in n.output), None)  # a DequantizeLinear
        return (conv, 1, conv.input[1]) if behind is None else (behind, 0, behind.input[0])

    def scale_weight(self, layer: Layer) -> None:
        dequantize, _, _ = self.weight(layer)
        dequantize.input[1] = self.replace(dequantize.input[1], larger_first_channel)

    def edit_weight(self, layer: Layer, edit: Edit) -> None:
        node, place, name = self.weight(layer)
        node.input[place] = self.replace(name, edit)

    def mix_pixels(self, layer: Layer) -> None:
        (order,) = self.node(layer, "Transpose").attribute
        order.ints[:] = sorted(order.ints)


class CoreML:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.model = read_model(path)
        (self.block,) = main_blocks(self.model, path)
        self.made = {output.name: operation for operation in self.block.operations for output in operation.outputs}

    def save(self) -> None:
        (self.path / MODEL).write_bytes(self.model.SerializeToString(deterministic=True))

    def operation(self, layer: Layer, *kinds: str) -> Any:
        return next(self.made[name] for name in layer if name in self.made and self.made[name].type in kinds)

    def bound(self, operation: Any, key: str) -> Any:
        """The operation that an argument's value comes from."""
        (argument,) = operation.inputs[key].arguments
        return self.made[argument.name]

    def readers(self, name: str, kind: str = "") -> list[Any]:
        found = [o for o in self.block.operations for a in o.inputs.values() if name in [each.name for each in a.arguments]]
        return [operation for operation in found if kind in operation.type]

    def swap_concat(self, layer: Layer) -> None:
        values = self.operation(layer, "concat").inputs["values"]
        names = [each.name for each in values.arguments][::-1]
        for argument, name in zip(values.arguments, names, strict=True):
            argument.name = name

    def drop_relu(self, layer: Layer) -> None:
        relu = self.operation(layer, "relu")
        (source,) = relu.inputs["x"].arguments
        for reader in self.readers(relu.outputs[0].name):
            for argument in [a for each in reader.inputs.values() for a in each.arguments]:
                argument.name = source.name if argument.name == relu.outputs[0].name else argument.name
        self.block.operations.remove(relu)

    def scale_activation(self, layer: Layer, factor: float) -> None:
        (quantize,) = [reader for name in layer for reader in self.readers(name, "quantize")]
        scales = {id(s): s for s in (self.bound(o, "scale") for o in (quantize, *self.readers(quantize.outputs[0].name)))}
        for scale in scales.values():
            values = scale.attributes["val"].immediateValue.tensor.floats.values
            values[:] = [factor * value for value in values]

    def weight(self, layer: Layer) -> Any:
        return self.bound(self.operation(layer, "conv"), "weight")

    def scale_weight(self, layer: Layer) -> None:
        self.edit(self.weight(layer).attributes["scale"], np.float32, larger_first_channel)

    def edit_weight(self, layer: Layer, edit: Edit) -> None:
        weight = self.weight(layer)
        quantized = weight.type.startswith("constexpr")
        shape = [n.constant.size for n in weight.outputs[0].type.tensorType.dimensions]
        value = weight.attributes["quantized_data" if quantized else "val"]
        self.edit(value, np.int8 if quantized else np.float32, lambda data: edit(data.reshape(shape)))

    def mix_pixels(self, layer: Layer) -> None:
        """``depth_to_space`` reads a block's rows and columns from the channels in another order than ``pixel_shuffle``."""
        operation = self.operation(layer, "pixel_shuffle")
        operation.type = "depth_to_space"
        operation.inputs["block_size"].CopyFrom(operation.inputs["upscale_factor"])
        del operation.inputs["upscale_factor"]

    def edit(self, value: Any, kind: Any, edit: Edit) -> None:
        """Change a constant where it is kept: in the program, or in the file of weights (64-byte entries; see runtimes)."""
        if value.WhichOneof("value") == "immediateValue":
            values = value.immediateValue.tensor.floats.values
            values[:] = edit(np.array(values, kind)).tolist()
            return
        file = self.path / ROOT / value.blobFileValue.fileName.removeprefix("@model_path/")
        content = bytearray(file.read_bytes())
        _, _, size, start = struct.unpack_from("<IIQQ", content, value.blobFileValue.offset)
        data = np.frombuffer(bytes(content[start : start + size]), kind)
        content[start : start + size] = np.ascontiguousarray(edit(data)).tobytes()
        file.write_bytes(content)


FORMATS: dict[str, Any] = {"tflite": TFLite, "onnx": Onnx, "coreml": CoreML}
