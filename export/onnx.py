"""ONNX through torch.onnx's dynamo exporter; NCHW; int8 as QDQ (QuantizeLinear/DequantizeLinear) with int8 weights."""

from __future__ import annotations

import copy
import os
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from onenet.base.quiet import quiet
from onenet.exporters.exporter import Exporter, Scales
from onenet.exporters.job import Job, as_list

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # the exporter's optimiser may load onnxruntime

METADATA = "onenet"
PAIR = ("QuantizeLinear", "DequantizeLinear")


class HalfInside(nn.Module):
    """float16 weights and arithmetic between float32 inputs and outputs."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module.half()

    def forward(self, *inputs: Tensor) -> list[Tensor]:
        """Run the module in float16: float inputs are cast to it, float outputs back to float32."""
        results = as_list(self.module(*[x.half() if x.is_floating_point() else x for x in inputs]))
        return [r.float() if r.is_floating_point() else r for r in results]


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


def with_program_names(model: onnx.ModelProto, program: torch.export.ExportedProgram) -> None:
    """Results under the names that operators had before the exporter decomposed them (``view`` again ``reshape``).

    Of several operators that one was decomposed into, the last has its value and its name.
    """
    nodes = [node for node in program.graph.nodes if node.op == "call_function" and node.meta.get("from_node")]
    origins = {node.name: node.meta["from_node"][-1].name for node in nodes}
    last = {origin: name for name, origin in origins.items()}
    names = {name: origin if last[origin] == name else f"{origin}.{name}" for name, origin in origins.items()}
    ends = {end.name for end in (*model.graph.input, *model.graph.output)}
    # An output may be called what an operator is called that is not the last one before it: `mean` behind a quantized `mean`.
    names = {name: f"{new}.{name}" if new in ends and name not in ends else new for name, new in names.items()}
    for node in model.graph.node:
        old = node.name.removeprefix("node_")
        node.name = f"node_{names.get(old, old)}"
        for values in (node.input, node.output):
            values[:] = [names.get(each, each) for each in values]
    for value in model.graph.value_info:
        value.name = names.get(value.name, value.name)
    for end in model.graph.output:
        with_one_maker(model.graph, end.name)


def with_one_maker(graph: onnx.GraphProto, name: str) -> None:
    """Another name for what has an output's name and is not the output: torch.onnx 2.13 calls an operator ``add`` and the
    output behind its quantization ``add``, too.
    """
    *others, last = [place for place, node in enumerate(graph.node) if name in node.output] or [-1]
    if not others:
        return
    for place in range(others[0], last + 1):
        node = graph.node[place]
        for names in (node.input,) if place == last else (node.input, node.output):
            names[:] = [f"{name}.float" if each == name else each for each in names]


def with_uint8_inside(model: onnx.ModelProto) -> None:
    """Store activations as uint8 with a zero point 128 higher: the same numbers.

    Kernels for x86 multiply unsigned activations by signed weights. onnxruntime 1.31 changes a signed graph by itself, but
    not the activations with two readers, and leaves the convolutions around them in float.
    """
    graph = model.graph
    constants = {each.name: each for each in graph.initializer}
    activations = [n for n in graph.node if n.op_type in PAIR and n.input[0] not in constants]
    results = {node.output[0] for node in activations if node.op_type == "QuantizeLinear"}
    for node in activations:
        node.input[2] = shifted_zero_point(graph, node.input[2], onnx.TensorProto.UINT8)
    for value in graph.value_info:
        if value.name in results:
            value.type.tensor_type.elem_type = onnx.TensorProto.UINT8
    used = {name for node in graph.node for name in node.input}
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
        module: nn.Module = job.arranged.module
        spec = job.model.spec
        with quiet():
            if job.precision == "fp16":
                module = HalfInside(copy.deepcopy(module)).eval()
            program = torch.onnx.export(
                module,
                job.model.example(),
                dynamo=True,
                verbose=False,
                input_names=[t.name for t in spec.inputs],
                output_names=[t.name for t in spec.outputs],
            )
        assert program is not None and program.exported_program is not None
        model = program.model_proto
        normalise(model, job.model.spec.name)
        with_program_names(model, program.exported_program)
        if job.quantized:
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
