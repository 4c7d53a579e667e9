"""ONNX through torch.onnx's dynamo exporter; NCHW; int8 as QDQ (QuantizeLinear/DequantizeLinear) with int8 weights."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.fx import GraphModule, Node

from onenet.base.quiet import quiet
from onenet.exporters.exporter import Exporter, Scales
from onenet.exporters.job import Job, as_list
from onenet.lowering.graph import arguments, copied
from onenet.lowering.operators import FIXED_SCALE, aten

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # the exporter's optimiser may load onnxruntime

METADATA = "onenet"
PAIR = ("QuantizeLinear", "DequantizeLinear")


class HalfInside(nn.Module):
    """float16 weights and arithmetic between float32 inputs and outputs. The module is changed."""

    def __init__(self, module: GraphModule) -> None:
        super().__init__()
        for node in module.graph.nodes:
            name_half(node)
        module.recompile()
        self.module = module.half()

    def forward(self, *inputs: Tensor) -> list[Tensor]:
        """Run the module in float16: float inputs are cast to it, float outputs back to float32."""
        results = as_list(self.module(*[x.half() if x.is_floating_point() else x for x in inputs]))
        return [r.float() if r.is_floating_point() else r for r in results]


def name_half(node: Node) -> None:
    """Let an operator that names float32, or makes a float tensor of nothing, name float16."""
    if not isinstance(node.target, OpOverload):
        return
    names = [argument.name for argument in node.target._schema.arguments]
    if "dtype" not in names:
        return
    place, value = names.index("dtype"), node.meta.get("val")
    named = arguments(node)[place]
    makes_floats = named is None and not node.all_input_nodes and isinstance(value, Tensor) and value.is_floating_point()
    if named in (torch.float32, torch.float64) or makes_floats:
        if place < len(node.args):
            node.update_arg(place, torch.float16)
        else:
            node.update_kwarg("dtype", torch.float16)


def normalise(model: onnx.ModelProto, name: str) -> None:
    """Take out what differs between runs and machines: stack traces, paths, the exporter's own names."""
    model.graph.name = name
    model.doc_string = ""
    for holder in (model, model.graph):
        del holder.metadata_props[:]
    for values in (
        model.graph.node,
        model.graph.input,
        model.graph.output,
        model.graph.value_info,
        model.graph.initializer,
    ):
        for each in values:
            each.doc_string = ""
            del each.metadata_props[:]


def give_program_names(model: ir.Model, program: torch.export.ExportedProgram) -> None:
    """Results under the names that operators had before the exporter decomposed them (``view`` again ``reshape``).

    Of several operators that one was decomposed into, the last has its value and its name. Constants are values like any
    other. Inputs and outputs keep their names: another value that would be called so gets a longer one. torch.onnx 2.13
    calls an operator ``add`` and the output behind its quantization ``add``, too.
    """
    nodes = [node for node in program.graph.nodes if node.op == "call_function" and node.meta.get("from_node")]
    origins = {node.name: node.meta["from_node"][-1].name for node in nodes}
    last = {origin: name for name, origin in origins.items()}
    names = {name: origin if last[origin] == name else f"{origin}.{name}" for name, origin in origins.items()}
    for node in model.graph.all_nodes():
        old = (node.name or "").removeprefix("node_")
        node.name = f"node_{names.get(old, old)}"
    ends = [*model.graph.inputs, *model.graph.outputs]
    taken = {str(end.name) for end in ends}
    renamed = []
    for value in values_of(model.graph):
        if value.name and not any(value is end for end in ends):
            name = free_name(names.get(value.name, value.name), value.name, taken)
            taken.add(name)
            renamed += [(value, name)] if name != value.name else []
    for number, (value, _) in enumerate(renamed):  # nothing may have a name for a moment that another still has
        value.name = f"renamed.{number}"
    for value, name in renamed:
        value.name = name


def values_of(graph: ir.Graph) -> list[ir.Value]:
    """Every value of a graph and of those inside its nodes, once: inputs, constants, and what nodes compute."""
    given = [value for each in (graph, *graph.subgraphs()) for value in (*each.inputs, *each.initializers.values())]
    computed = [value for node in graph.all_nodes() for value in node.outputs]
    return list({id(value): value for value in (*given, *computed)}.values())


def free_name(wanted: str, old: str, taken: Collection[str]) -> str:
    """``wanted``; with the exporter's own name behind it, or a number, where another value has that."""
    longer = f"{wanted}.{old}" if old != wanted else f"{wanted}.float"
    more = (f"{longer}.{number}" for number in itertools.count(2))
    return next(name for name in itertools.chain((wanted, longer), more) if name not in taken)


def with_uint8_inside(model: onnx.ModelProto) -> None:
    """Store activations as uint8 with a zero point 128 higher: the same numbers. So are the constants that they meet.

    Kernels for x86 multiply unsigned activations by signed weights. onnxruntime 1.31 changes a signed graph by itself, but
    not the activations with two readers, and leaves the convolutions around them in float.
    """
    graph = model.graph
    constants = {each.name: each for each in graph.initializer}
    scalars = {name for name, each in constants.items() if not each.dims}  # a weight has a scale for each channel
    kept = rescaled_softmaxes(graph)
    activations = [n for n in graph.node if n.op_type in PAIR and n.input[1] in scalars and n.output[0] not in kept]
    results = {node.output[0] for node in activations if node.op_type == "QuantizeLinear"}
    stored = {n.input[0] for n in activations if n.op_type == "DequantizeLinear" and n.input[0] in constants}
    for node in activations:
        node.input[2] = shifted_zero_point(graph, node.input[2], onnx.TensorProto.UINT8)
    for name in stored:
        shifted = numpy_helper.to_array(constants[name]).astype(np.int16) + 128
        constants[name].CopyFrom(numpy_helper.from_array(shifted.astype(np.uint8), name))
    for value in graph.value_info:
        if value.name in results | stored:
            value.type.tensor_type.elem_type = onnx.TensorProto.UINT8
    remove_unused(graph)


def rescaled_softmaxes(graph: onnx.GraphProto) -> set[str]:
    """What pairs behind a Softmax give, where another scale follows: they stay int8.

    onnxruntime (1.31) makes one pair of two of the same type, and its integer softmax has no other scale than 1/256: a
    concatenation of probabilities had 3 of 46 dB.
    """
    makers = {result: node for node in graph.node for result in node.output}
    found = set[str]()
    for again in [node for node in graph.node if node.op_type == "QuantizeLinear"]:
        pair = [maker for maker in (makers.get(again.input[0]),) if maker is not None and maker.op_type == "DequantizeLinear"]
        pair += [makers[each.input[0]] for each in pair if each.input[0] in makers]
        softmax = makers.get(pair[1].input[0]) if len(pair) == 2 else None
        if softmax is not None and softmax.op_type == "Softmax":
            found.update(each.output[0] for each in pair)
    return found


def with_integer_constants(model: onnx.ModelProto) -> None:
    """A float constant behind a QuantizeLinear -> the integers that this makes of it, a quarter as large."""
    graph = model.graph
    constants = {each.name: each for each in graph.initializer}
    for node in [each for each in graph.node if each.op_type == "QuantizeLinear" and each.input[0] in constants]:
        value, scale, zero_point = (numpy_helper.to_array(constants[name]) for name in node.input)
        limits = np.iinfo(zero_point.dtype)
        integers = np.clip(np.rint(value / scale) + zero_point, limits.min, limits.max).astype(zero_point.dtype)
        graph.initializer.append(numpy_helper.from_array(integers, node.output[0]))
        graph.node.remove(node)
    remove_unused(graph)


def remove_unused(graph: onnx.GraphProto) -> None:
    """Take out the constants that nothing reads."""
    used = {name for node in graph.node for name in node.input} | {end.name for end in graph.output}
    for each in [each for each in graph.initializer if each.name not in used]:
        graph.initializer.remove(each)


def with_integer_relu(model: onnx.ModelProto) -> None:
    """Conv -> Relu -> QuantizeLinear -> Conv -> QuantizeLinear -> Clip at the zero point, where that is not the lowest value.

    The same numbers. onnxruntime drops a Relu that clipping at the lowest value does anyway; any other keeps the convolution
    in float. A skip connection has one where it is concatenated with negative values, whose scale it shares.
    """
    graph = model.graph
    constants = {each.name: each for each in graph.initializer}
    readers = Counter(name for node in graph.node for name in node.input)
    makers = {result: node for node in graph.node for result in node.output}
    for node in list(graph.node):
        relu = makers.get(node.input[0]) if node.op_type == "QuantizeLinear" else None
        if relu is None or relu.op_type != "Relu" or readers[relu.output[0]] > 1 or readers[relu.input[0]] > 1:
            continue
        if not numpy_helper.to_array(constants[node.input[2]]).any():
            continue
        result = node.output[0]
        node.input[0], node.output[0] = relu.input[0], f"{result}_signed"
        clip = onnx.helper.make_node("Clip", [node.output[0], node.input[2]], [result], name=f"{relu.name}_integer")
        place = list(graph.node).index(node)
        graph.node.insert(place + 1, clip)
        graph.node.remove(relu)


def with_integer_tanh(model: onnx.ModelProto) -> None:
    """tanh in steps of 1/128 -> the sigmoid of twice the value, in steps of 1/256: the same integers, before zero points shift.

    tanh(x) = 2 sigmoid(2x) - 1. onnxruntime has a table for the sigmoid in int8, and computes the tanh in float. Twice the
    value is the same integers read on twice the scale.
    """
    graph = model.graph
    constants = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    makers = {result: node for node in graph.node for result in node.output}
    readers = Counter(name for node in graph.node for name in node.input)
    for stored in [node for node in graph.node if node.op_type == "QuantizeLinear"]:
        tanh = makers.get(stored.input[0])
        read = makers.get(tanh.input[0]) if tanh is not None and tanh.op_type == "Tanh" else None
        fixed = float(constants[stored.input[1]]) == FIXED_SCALE[aten.tanh.default][0] and not constants[stored.input[2]].any()
        if tanh is None or read is None or read.op_type != "DequantizeLinear" or readers[tanh.output[0]] > 1 or not fixed:
            continue
        name, (scale, zero_point) = tanh.output[0], FIXED_SCALE[aten.sigmoid.default]
        parts = (2 * constants[read.input[1]], np.float32(scale), np.int8(zero_point))
        new = [numpy_helper.from_array(np.asarray(value), f"{name}.{place}") for place, value in enumerate(parts)]
        graph.initializer.extend(new)
        doubled = onnx.helper.make_node("DequantizeLinear", [read.input[0], new[0].name, read.input[2]], [f"{name}.doubled"])
        graph.node.insert(list(graph.node).index(tanh), doubled)
        tanh.op_type, tanh.input[0], tanh.output[0] = "Sigmoid", doubled.output[0], f"{name}.sigmoid"
        stored.input[:] = [tanh.output[0], new[1].name, new[2].name]
    remove_unread(graph)


def remove_unread(graph: onnx.GraphProto) -> None:
    """Take out the dequantize operators, and then the constants, that nothing reads."""
    used = {name for node in graph.node for name in node.input} | {end.name for end in graph.output}
    for node in [each for each in graph.node if each.op_type == "DequantizeLinear" and each.output[0] not in used]:
        graph.node.remove(node)
    remove_unused(graph)


def shifted_zero_point(graph: onnx.GraphProto, name: str, kind: int) -> str:
    """The zero point for the same numbers as uint8 or int8; added to the graph where it is new."""
    constants = {each.name: each for each in graph.initializer}
    known = constants[name]
    if known.data_type == kind:
        return name
    unsigned = kind == onnx.TensorProto.UINT8
    new = f"{name}_{'uint8' if unsigned else 'int8'}"
    if new not in constants:
        value = numpy_helper.to_array(known).astype(np.int16) + (128 if unsigned else -128)
        graph.initializer.append(numpy_helper.from_array(value.astype(np.uint8 if unsigned else np.int8), new))
    return new


def with_int8_ends(model: onnx.ModelProto) -> None:
    """int8 inputs and outputs: a DequantizeLinear behind each quantized input, a QuantizeLinear before each such output."""
    graph = model.graph
    for tensor in [*graph.input, *graph.output]:
        is_input = any(tensor is each for each in graph.input)
        wanted = "QuantizeLinear" if is_input else "DequantizeLinear"
        node = next((n for n in graph.node if n.op_type == wanted and tensor.name in (n.input if is_input else n.output)), None)
        if node is None:
            continue
        inner = f"{tensor.name}_float"
        for other in graph.node:
            for names in (other.input, other.output):
                for i, each in enumerate(names):
                    names[i] = inner if each == tensor.name else each
        zero_point = shifted_zero_point(graph, node.input[2], onnx.TensorProto.INT8)
        kind = "DequantizeLinear" if is_input else "QuantizeLinear"
        ends = (tensor.name, inner) if is_input else (inner, tensor.name)
        end = onnx.helper.make_node(kind, [ends[0], node.input[1], zero_point], [ends[1]], name=f"{tensor.name}_end")
        graph.node.insert(0 if is_input else len(graph.node), end)
        tensor.type.tensor_type.elem_type = onnx.TensorProto.INT8


class OnnxExporter(Exporter):
    """Files for onnxruntime."""

    def convert(self, job: Job, path: Path) -> None:
        """Write the artifact, without its manifest, to ``path``."""
        spec = job.model.spec
        with quiet():
            half = job.precision == "fp16"
            source = HalfInside(copied(job.arranged.module)).eval() if half else job.program
            program = torch.onnx.export(
                source,
                job.model.example(),
                dynamo=True,
                verbose=False,
                input_names=[t.name for t in spec.inputs],
                output_names=[t.name for t in spec.outputs],
            )
        assert program is not None and program.exported_program is not None
        give_program_names(program.model, program.exported_program)
        model = program.model_proto
        normalise(model, job.model.spec.name)
        if job.quantized:
            with_integer_constants(model)
            with_integer_tanh(model)
            with_uint8_inside(model)
            with_integer_relu(model)
        if job.io == "int8":
            with_int8_ends(model)
        onnx.checker.check_model(model)
        path.write_bytes(model.SerializeToString(deterministic=True))

    def io_quantization(self, path: Path) -> Scales:
        """Name -> (scale, zero point) of the int8 inputs and outputs."""
        graph = onnx.load(path).graph
        constants = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
        found = {}
        ends = [t for t in [*graph.input, *graph.output] if t.type.tensor_type.elem_type == onnx.TensorProto.INT8]
        for tensor in ends:
            node = next(
                n
                for n in graph.node
                if (n.op_type == "DequantizeLinear" and tensor.name in n.input)
                or (n.op_type == "QuantizeLinear" and tensor.name in n.output)
            )
            scale, zero_point = (np.asarray(constants[name]).item() for name in node.input[1:3])
            found[tensor.name] = (float(scale), int(zero_point))
        return found

    def embed(self, path: Path, manifest: str) -> None:
        """Store the manifest in the model's ``metadata_props`` under the key ``onenet``."""
        model = onnx.load(path)
        onnx.helper.set_model_props(model, {METADATA: manifest})
        path.write_bytes(model.SerializeToString(deterministic=True))


EXPORTER = OnnxExporter()
