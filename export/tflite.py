"""TFLite through litert-torch; inputs and outputs NHWC, named in the signature ``serving_default``.

int8 comes out of the converter with int8 inputs and outputs. Float ones get a QUANTIZE or DEQUANTIZE operator at the ends,
added to the flatbuffer (schema: tensorflow/compiler/mlir/lite/schema/schema.fbs).

Tensors have the names of the operators that compute them (``conv2d_3``; a convolution with its ReLU ``relu_2``), so that
layers can be compared and a reader finds his way.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import flatbuffers
import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.fx.traceback import preserve_node_meta

from onenet.base.arrays import Array
from onenet.base.quiet import quiet
from onenet.calibration.quantized import QuantizedModel
from onenet.exporters.exporter import Exporter, Scales
from onenet.exporters.fences import Fenced
from onenet.exporters.job import Job, Named
from onenet.exporters.layers import named_module

METADATA = "onenet"


def converted(job: Job) -> bytes:
    """The TFLite file of a job, NHWC at its ends, as litert_torch writes it."""
    import litert_torch  # seconds: only where something is converted
    from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer, get_symmetric_quantization_config
    from litert_torch.quantize.quant_config import QuantConfig

    spec = job.model.spec
    named = named_module(job.program)
    module = Named(Labelled(named), spec.inputs, spec.outputs, nhwc=True)
    feeds = {t.name: torch.zeros(t.in_layout("NHWC").shape, dtype=getattr(torch, t.dtype)) for t in spec.inputs}
    # The quantizer given here only tells the converter that the program is statically quantized; the scales are ours.
    config = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=False)
    static = QuantConfig(pt2e_quantizer=PT2EQuantizer().set_global(config)) if job.quantized else None
    with only_asked_layers_in_int8() if job.quantized and mixed(job.quantized) else contextlib.nullcontext():
        model = litert_torch.convert(module.eval(), sample_kwargs=feeds, quant_config=static)
    content = unpack(bytes(model.model_content()))
    requantize_directly(content)
    separate_outputs(content)
    name_layers(content, [node.name for node in named.graph.nodes])
    return pack(content)


def mixed(quantized: QuantizedModel) -> bool:
    """Whether a recipe keeps some layer out of int8."""
    return any(rule.precision != "int8" for rule in quantized.record.recipe.rules)


@contextlib.contextmanager
def only_asked_layers_in_int8() -> Iterator[None]:
    """Keep a layer in float that a recipe keeps in float, although its neighbours are int8.

    litert-torch 0.10 quantizes it all the same. Its converter has a mode that does not (``strict_qdq_mode``), which only its
    second front end sets, and that takes no calibrated program. It costs: labels are then picked among floats, and int8 ends
    become float ends. So it is for mixtures alone.
    """
    from litert_converter import converter_api_ext

    original = converter_api_ext.ConvertToTFLConfig

    def strict() -> object:
        config = original()
        config.strict_qdq_mode = True
        return config

    converter_api_ext.ConvertToTFLConfig = strict
    try:
        yield
    finally:
        converter_api_ext.ConvertToTFLConfig = original


class Labelled(nn.Module):
    """A module run operator by operator, so that each one's name reaches the converter.

    litert-torch names a tensor after its operator's stack of modules (0.10: litert_torch/backend/debuginfo/_build.py).
    """

    def __init__(self, module: GraphModule) -> None:
        super().__init__()
        self.module = module
        for node in module.graph.nodes:
            node.meta["nn_module_stack"] = {"": ("", node.name)}

    def forward(self, *inputs: Tensor) -> object:
        """Run the module node by node with each node's metadata kept, so that the converter sees the names of layers."""
        with preserve_node_meta():
            return Fenced(self.module).run(*inputs)


def requantize_directly(model: schema.ModelT) -> None:
    """One QUANTIZE from a scale to another in place of a DEQUANTIZE and a QUANTIZE."""
    graph = model.subgraphs[0]
    made = {index: operator for operator in graph.operators for index in operator.outputs}
    joined = False
    for operator in graph.operators:
        source = made.get(operator.inputs[0]) if code_of(model, operator) == schema.BuiltinOperator.QUANTIZE else None
        if source is not None and code_of(model, source) == schema.BuiltinOperator.DEQUANTIZE:
            operator.inputs, joined = source.inputs, True
    if joined:
        read = {index for operator in graph.operators for index in operator.inputs} | set(graph.outputs)
        graph.operators = [each for each in graph.operators if read.intersection(each.outputs)]
        remove_unused(model)


def remove_unused(model: schema.ModelT) -> None:
    """Take out the tensors that no operator and no end names."""
    graph, signature = model.subgraphs[0], model.signatureDefs[0]
    used = {index for each in graph.operators for index in (*each.inputs, *each.outputs) if index >= 0}
    kept = sorted(used | set(graph.inputs) | set(graph.outputs))
    place = {-1: -1, **{index: number for number, index in enumerate(kept)}}
    graph.tensors = [graph.tensors[index] for index in kept]
    for holder in (graph, *graph.operators):
        holder.inputs, holder.outputs = (
            np.array([place[i] for i in each], np.int32) for each in (holder.inputs, holder.outputs)
        )
    for entry in (*signature.inputs, *signature.outputs):
        entry.tensorIndex = place[entry.tensorIndex]


def name_layers(model: schema.ModelT, names: Sequence[str]) -> None:
    """Tensors under the names of their operators, constants as ``conv2d_3.weight``, inputs and outputs as in the signature.

    The converter gives them names such as ``relu_2;;conv2d_3;1``: all operators that were fused, in no order.

    Args:
        names: the operators', in graph order. What is fused has the value, and so the name, of the last one.
    """
    graph, order = model.subgraphs[0], {name: place for place, name in enumerate(names)}
    ends = {e.tensorIndex: e.name.decode() for e in [*model.signatureDefs[0].inputs, *model.signatureDefs[0].outputs]}
    made, taken = dict(ends), set(ends.values())

    def layer(index: int) -> str:
        parts = [each for each in graph.tensors[index].name.decode().split(";") if each in order]
        return max(parts, key=order.__getitem__, default="ends")  # none: a transpose to or from NHWC

    for operator in reversed(graph.operators):  # of several that do one layer, the last has its value
        helper = HELPERS.get(code_of(model, operator), "")
        for index in operator.outputs:
            name = layer(index)
            made.setdefault(index, unique(name if helper in name else f"{name}.{helper}", taken))
    for operator in graph.operators:
        weighted = code_of(model, operator) in WEIGHTED
        name = layer(operator.inputs[1] if weighted else operator.outputs[0])
        for place, index in enumerate(operator.inputs):
            if index >= 0 and index not in made:
                kind = CONSTANTS.get(place) if weighted else None
                made[index] = unique(f"{name}.{kind or f'constant{place}'}", taken)
    for index, name in made.items():
        graph.tensors[index].name = name.encode()


WEIGHTED = (
    schema.BuiltinOperator.CONV_2D,
    schema.BuiltinOperator.DEPTHWISE_CONV_2D,
    schema.BuiltinOperator.FULLY_CONNECTED,
)
CONSTANTS = {1: "weight", 2: "bias"}
HELPERS = {
    schema.BuiltinOperator.PAD: "pad",
    schema.BuiltinOperator.QUANTIZE: "quantize",
    schema.BuiltinOperator.DEQUANTIZE: "dequantize",
}
"""What the converter puts before or behind a layer's operator: it does not have the layer's value."""


def code_of(model: schema.ModelT, operator: schema.OperatorT) -> int:
    """The BuiltinOperator number of an operator in the TFLite schema."""
    return int(model.operatorCodes[operator.opcodeIndex].builtinCode)


def unique(name: str, taken: set[str]) -> str:
    """The name, or the first of ``name.1``, ``name.2``, ... that is free; taken from now on."""
    found = next(each for each in itertools.chain([name], (f"{name}.{n}" for n in itertools.count(1))) if each not in taken)
    taken.add(found)
    return found


def half_weights(content: bytes) -> bytes:
    """float16 weights behind DEQUANTIZE operators: XNNPACK and the GPU delegate read them directly."""
    from ai_edge_quantizer import qtyping, quantizer

    tool = quantizer.Quantizer(bytearray(content))
    weights = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
    options = qtyping.OpQuantizationConfig(weight_tensor_config=weights, compute_precision=qtyping.ComputePrecision.FLOAT)
    tool.update_quantization_recipe(
        regex=".*",
        operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
        op_config=options,
        algorithm_key="float_casting",
    )
    return bytes(tool.quantize().quantized_model)


def with_float_ends(content: bytes) -> bytes:
    """The file with QUANTIZE behind its int8 inputs and DEQUANTIZE before its int8 outputs: float32 at both ends."""
    model = unpack(content)
    graph = model.subgraphs[0]
    graph.inputs, graph.outputs = graph.inputs.copy(), graph.outputs.copy()  # views of the file are read-only
    signature = model.signatureDefs[0]
    for ends, maps, builtin in (
        (graph.inputs, signature.inputs, schema.BuiltinOperator.QUANTIZE),
        (graph.outputs, signature.outputs, schema.BuiltinOperator.DEQUANTIZE),
    ):
        for place, index in enumerate(list(ends)):
            tensor = graph.tensors[index]
            if tensor.type != schema.TensorType.INT8:
                continue
            graph.tensors.append(float_copy(tensor))
            outer = len(graph.tensors) - 1
            ends[place] = outer
            for entry in maps:
                entry.tensorIndex = outer if entry.tensorIndex == index else entry.tensorIndex
            is_input = builtin == schema.BuiltinOperator.QUANTIZE
            operator = make_operator(model, builtin, outer if is_input else index, index if is_input else outer)
            graph.operators.insert(0 if is_input else len(graph.operators), operator)
    return pack(model)


def separate_outputs(model: schema.ModelT) -> None:
    """Give an output that is the input, or another output, a tensor of its own: a tensor has one name.

    The converter drops an operator that changes nothing, so it is added here: a RESHAPE to the same shape.
    """
    graph, signature = model.subgraphs[0], model.signatureDefs[0]
    graph.outputs = graph.outputs.copy()  # a view of the file is read-only
    places = {index: [i for i, each in enumerate(graph.outputs) if each == index] for index in graph.outputs}
    taken = set(graph.inputs)
    for entry in signature.outputs:
        index = entry.tensorIndex
        place = places[index].pop(0)
        if index in taken:
            graph.tensors.append(empty_copy(graph.tensors[index]))
            entry.tensorIndex = len(graph.tensors) - 1
            graph.outputs[place] = entry.tensorIndex
            operator = make_operator(model, schema.BuiltinOperator.RESHAPE, index, entry.tensorIndex)
            operator.builtinOptionsType, operator.builtinOptions = (
                schema.BuiltinOptions.ReshapeOptions,
                schema.ReshapeOptionsT(),
            )
            operator.builtinOptions.newShape = graph.tensors[index].shape
            graph.operators.append(operator)
        taken.add(index)


def empty_copy(tensor: schema.TensorT) -> schema.TensorT:
    """A tensor of the same shape, type and scale without values or a name."""
    copy = schema.TensorT()
    copy.shape, copy.type, copy.quantization = tensor.shape, tensor.type, tensor.quantization
    copy.name, copy.buffer, copy.hasRank = b"", 0, tensor.hasRank  # buffer 0 is the empty one
    return copy


def float_copy(tensor: schema.TensorT) -> schema.TensorT:
    """A float32 tensor of the same shape without values, named with ``_float`` at the end."""
    copy = schema.TensorT()
    copy.shape, copy.name, copy.type = tensor.shape, tensor.name + b"_float", schema.TensorType.FLOAT32
    copy.buffer, copy.hasRank = 0, tensor.hasRank  # buffer 0 is the empty one
    return copy


def make_operator(model: schema.ModelT, builtin: int, source: int, result: int) -> schema.OperatorT:
    """An operator from one tensor to another, both by index; adds its operator code to the model if it has none."""
    codes = [code.builtinCode for code in model.operatorCodes]
    if builtin not in codes:
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = builtin
        code.version = 2 if builtin == schema.BuiltinOperator.DEQUANTIZE else 1  # version 2 reads int8
        model.operatorCodes.append(code)
        codes.append(builtin)
    operator = schema.OperatorT()
    operator.opcodeIndex = codes.index(builtin)
    operator.inputs, operator.outputs = np.array([source], np.int32), np.array([result], np.int32)
    return operator


def unpack(content: bytes) -> schema.ModelT:
    """The flatbuffer as objects; buffers that a writer placed behind it (ai-edge-quantizer does) are brought inside."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    for buffer in model.buffers:
        if buffer.offset > 1:
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return model


class SharingBuilder(flatbuffers.Builder):  # type: ignore[misc]  # flatbuffers ships no types
    """Writes equal vectors once. Per-channel zero points are rows of int64 zeros: 6 % of the shipped int8 file."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.vectors: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: Array) -> int:  # the name that the generated code calls
        """The offset of a vector; one with the same bytes and dtype is written once."""
        key = (str(x.dtype), x.tobytes())
        if key not in self.vectors:
            self.vectors[key] = super().CreateNumpyVector(x)
        return self.vectors[key]


def pack(model: schema.ModelT) -> bytes:
    """The bytes of an unpacked TFLite model, with the file identifier TFL3."""
    builder = SharingBuilder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


class TFLiteExporter(Exporter):
    """Flatbuffers for LiteRT."""

    def convert(self, job: Job, path: Path) -> None:
        """Write the artifact, without its manifest, to ``path``."""
        with quiet():
            content = converted(job)
            if job.precision == "fp16":
                content = half_weights(content)
        if job.precision == "int8" and job.io == "float":
            content = with_float_ends(content)
        path.write_bytes(content)

    def io_quantization(self, path: Path) -> Scales:
        """Signature name -> (scale, zero point) of the int8 inputs and outputs."""
        model = unpack(path.read_bytes())
        signature, tensors = model.signatureDefs[0], model.subgraphs[0].tensors
        found = {}
        for entry in [*signature.inputs, *signature.outputs]:
            tensor = tensors[entry.tensorIndex]
            if tensor.type == schema.TensorType.INT8:
                found[entry.name.decode()] = (float(tensor.quantization.scale[0]), int(tensor.quantization.zeroPoint[0]))
        return found

    def embed(self, path: Path, manifest: str) -> None:
        """Store the manifest in the flatbuffer's metadata under the name ``onenet``."""
        model = unpack(path.read_bytes())
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(manifest.encode(), np.uint8)
        model.buffers.append(buffer)
        entry = schema.MetadataT()
        entry.name, entry.buffer = METADATA.encode(), len(model.buffers) - 1
        model.metadata = [*(model.metadata or []), entry]
        path.write_bytes(pack(model))

    def named_in(self, path: Path, text: str) -> list[str]:
        """LiteRT: ``Node number 10 (STABLEHLO_SCATTER) failed to prepare``."""
        model = unpack(path.read_bytes())
        graph, numbers = model.subgraphs[0], [int(number) for number in re.findall(r"Node number (\d+)", text)]
        results = [graph.operators[number].outputs[0] for number in numbers if number < len(graph.operators)]
        return [graph.tensors[result].name.decode().partition(".")[0] for result in results]


EXPORTER = TFLiteExporter()
