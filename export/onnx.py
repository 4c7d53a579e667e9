"""ONNX through torch.onnx's dynamo exporter; NCHW; int8 as QDQ (QuantizeLinear/DequantizeLinear) with int8 weights."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from onenet.export.job import Job, as_list
from onenet.quiet import quiet

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # the exporter's optimiser may load onnxruntime

LAYOUT = "NCHW"
PACKAGES = ("torch", "torchao", "onnx", "onnxscript")
METADATA = "onenet"


class HalfInside(nn.Module):
    """float16 weights and arithmetic between float32 inputs and outputs."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module.half()

    def forward(self, *inputs: Tensor) -> list[Tensor]:
        results = as_list(self.module(*[x.half() if x.is_floating_point() else x for x in inputs]))
        return [r.float() if r.is_floating_point() else r for r in results]


def convert(job: Job, path: Path) -> None:
    """Write the artifact, without its manifest, to ``path``."""
    module = job.quantized.reference if job.quantized else job.model.module
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
    assert program is not None
    model = program.model_proto
    normalise(model, job.model.spec.name)
    if job.io == "int8":
        with_int8_ends(model)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


def normalise(model: Any, name: str) -> None:
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


def with_int8_ends(model: Any) -> None:
    """Cut the QuantizeLinear behind each float input and the DequantizeLinear before each float output."""
    graph = model.graph
    for tensor in [*graph.input, *graph.output]:
        is_input = any(tensor is each for each in graph.input)
        wanted = "QuantizeLinear" if is_input else "DequantizeLinear"
        node = next((n for n in graph.node if n.op_type == wanted and tensor.name in (n.input if is_input else n.output)), None)
        if node is None:
            continue
        inner = node.output[0] if is_input else node.input[0]
        for other in graph.node:
            for names in (other.input, other.output):
                for i, each in enumerate(names):
                    names[i] = tensor.name if each == inner else each
        graph.node.remove(node)
        tensor.type.tensor_type.elem_type = onnx.TensorProto.INT8
        for value in [v for v in graph.value_info if v.name == inner]:
            graph.value_info.remove(value)


def io_quantization(path: Path) -> dict[str, tuple[float, int]]:
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


def embed(path: Path, manifest: str) -> None:
    """Store the manifest in the model's ``metadata_props`` under the key ``onenet``."""
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {METADATA: manifest})
    path.write_bytes(model.SerializeToString(deterministic=True))
