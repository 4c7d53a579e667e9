"""ONNX artifacts in ONNX Runtime, on its CPU provider."""

from __future__ import annotations

import json
import mmap
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Optional

from onenet.base.arrays import Array, paired
from onenet.base.files import temporary_folder
from onenet.base.host import all_cores, has_vnni, require
from onenet.base.text import one_line
from onenet.errors import CheckError, ToolError
from onenet.runtimes.session import (
    METADATA,
    LayerValue,
    Operators,
    OperatorTime,
    Runtime,
    RuntimeInfo,
    Session,
    parse_manifest,
)
from onenet.runtimes.tensors import check_feeds
from onenet.spec import TensorSpec

DTYPES = {"float": "float32", "double": "float64"}
"""ONNX Runtime's names that are not numpy's."""
INTEGER = (b"QuantizeLinear", b"QLinear", b"MatMulInteger", b"ConvInteger")
"""Parts of operator names that only a graph with quantized activations holds."""
QUANTIZED = (*INTEGER, b"DequantizeLinear")
"""Those that only a quantized graph holds; where weights alone are quantized, they are dequantized and no more."""
ERRORS_ONLY = 3
FIXED = {1: 8, 5: 4}
"""Protobuf wire type -> bytes of a number of fixed size."""


class OnnxSession(Session):
    """An ONNX file.

    On x86 CPUs without VNNI the int8 kernels add pairs of products in 16 bits, which saturates: outputs can be 26 steps
    off. ``exact_int8`` keeps every QuantizeLinear/DequantizeLinear pair and computes the operators between them in
    float (session option ``session.disable_quant_qdq``): what the quantized graph means, at the speed of float.
    """

    def __init__(self, path: Path, threads: int | None = None, *, exact_int8: bool = False) -> None:
        ort = import_onnxruntime()
        self.options = ort.SessionOptions()
        self.options.log_severity_level = ERRORS_ONLY
        self.options.intra_op_num_threads = threads or all_cores()
        self.options.inter_op_num_threads = 1
        if exact_int8:
            self.options.add_session_config_entry("session.disable_quant_qdq", "1")
        self.path = path
        self.session = make_session(ort, path, self.options)
        scales = declared_scales(manifest_in(self.session, path), path.name)
        try:
            self.inputs = tuple(spec_of(node, "image", scales) for node in self.session.get_inputs())
            self.outputs = tuple(spec_of(node, "logits", scales) for node in self.session.get_outputs())
        except UnicodeDecodeError as error:
            raise ToolError(f"onnxruntime cannot load {path.name}: {one_line(error)}") from error
        self.runtime = RuntimeInfo("onnxruntime", ort.__version__, kernels(holds(path, QUANTIZED), exact_int8))
        self.may_saturate = not exact_int8 and has_vnni() is False and holds(path, INTEGER)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        check_feeds(feeds, self.inputs)
        names = [spec.name for spec in self.outputs]
        try:
            results = self.session.run(names, dict(feeds))
        except Exception as error:  # its errors share no base class below Exception
            raise ToolError(f"onnxruntime failed on {self.path.name}: {one_line(error)}") from error
        return dict(paired(names, results))

    def operators(self) -> Operators:
        # Field numbers of onnx.proto: ModelProto.graph 7, GraphProto.node 1, NodeProto.op_type 4.
        graphs = (value for number, value in fields(memoryview(self.path.read_bytes())) if number == 7)
        nodes = (value for graph in graphs for number, value in fields(graph) if number == 1)
        kinds = (str(value, "utf-8", "replace") for node in nodes for number, value in fields(node) if number == 4)
        return Operators(dict(sorted(Counter(kinds).items())))

    def profile(self, feeds: Mapping[str, Array], runs: int) -> list[OperatorTime]:
        """Of the operators as onnxruntime runs them, after its own rewriting."""
        with temporary_folder() as folder:
            self.options.enable_profiling, self.options.profile_file_prefix = True, f"{folder}/profile"
            watched = OnnxSession(self.path, self.options.intra_op_num_threads)
            watched.session = make_session(import_onnxruntime(), self.path, self.options)
            for _ in range(runs):
                watched.run(feeds)
            events = json.loads(Path(watched.session.end_profiling()).read_bytes())
        return operator_times(events, runs)

    def layers(self, feeds: Mapping[str, Array]) -> dict[str, LayerValue]:
        """Needs the onnx package.

        Computed by a copy of the model that gives them as outputs, in the same kernels: what is quantized leaves behind its
        QuantizeLinear, so that the operators around it are fused as before.
        """
        check_feeds(feeds, self.inputs)
        onnx = require("onnx", "export")
        model = onnx.load(self.path)
        found = watched(onnx, model.graph)
        given = {each.name for each in model.graph.output}
        wanted = dict.fromkeys(tensor for tensor, *_ in found.values())
        model.graph.output.extend(onnx.ValueInfoProto(name=each) for each in wanted if each not in given)
        try:
            session = import_onnxruntime().InferenceSession(
                model.SerializeToString(), self.options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
            results = dict(paired(wanted, session.run(list(wanted), dict(feeds))))
        except Exception as error:  # its errors share no base class below Exception
            raise ToolError(f"onnxruntime failed on {self.path.name}: {one_line(error)}") from error
        return {name: LayerValue(results[tensor], scale, zero_point) for name, (tensor, scale, zero_point) in found.items()}


def operator_times(events: list[dict[str, Any]], runs: int) -> list[OperatorTime]:
    """Mean over the runs of every node's time; the first run, which warms up, is among them only where it is alone."""
    times: dict[tuple[str, str], list[float]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            key = (event["name"].removesuffix("_kernel_time"), event["args"]["op_name"])
            times.setdefault(key, []).append(event["dur"] / 1000)
    return [
        OperatorTime(name, kind, round(sum(kept) / len(kept), 6))
        for (name, kind), every in times.items()
        if (kept := every[1:] if runs > 1 else every)
    ]


Watched = tuple[str, Optional[float], int]
"""A tensor, its scale and zero point."""


def watched(onnx: Any, graph: Any) -> dict[str, Watched]:
    """Operator's result -> the tensor to look at for it: it, or what is quantized from it."""
    constants = {each.name: each for each in graph.initializer}
    readers = Counter((name, node.op_type) for node in graph.node for name in node.input)
    alone = Counter(name for node in graph.node for name in node.input)
    fixed, found = {*constants, ""}, dict[str, Watched]()
    scales: dict[str, tuple[float, int]] = {}
    for node in graph.node:
        result = node.output[0]
        if all(name in fixed for name in node.input):
            fixed |= set(node.output)
        elif node.op_type == "QuantizeLinear":
            scale, zero_point = (onnx.numpy_helper.to_array(constants[name]).item() for name in node.input[1:3])
            scales[result] = (float(scale), int(zero_point))
            found[node.input[0]] = (result, *scales[result])
        elif node.op_type == "Clip" and node.input[0] in scales:  # a ReLU on integers, named after the one that it replaced
            scales[result] = scales[node.input[0]]
            found[node.name.removeprefix("node_").removesuffix("_integer")] = (result, *scales[result])
        elif node.op_type != "DequantizeLinear" and not (readers[result, "Relu"] and alone[result] == 1):
            found.setdefault(result, (result, None, 0))
    return found


def open_file(path: Path, threads: int | None, exact_int8: bool) -> OnnxSession:
    """Open an .onnx file; with exact_int8, QDQ pairs are computed in float."""
    return OnnxSession(path, threads, exact_int8=exact_int8)


def read_manifest(path: Path) -> dict[str, object] | None:
    """The entry ``onenet`` of the model's ``metadata_props``."""
    try:
        data = metadata(memoryview(path.read_bytes()), METADATA.encode())
    except (OSError, ValueError) as error:
        raise ToolError(f"{path.name} is not an ONNX file: {one_line(error)}") from error
    return None if data is None else parse_manifest(data, path.name)


def metadata(content: memoryview, wanted: bytes) -> bytes | None:
    """A named value of ``metadata_props``.

    Read by hand: a device has no onnx package, and onnxruntime would build the graph first. Field numbers of onnx.proto:
    ModelProto.graph 7, ModelProto.metadata_props 14, StringStringEntryProto.key 1 and value 2.

    Raises:
        ValueError: the file is no ModelProto with a graph.
    """
    found, has_graph = None, False
    for number, value in fields(content):
        has_graph = has_graph or number == 7
        entry = dict(fields(value)) if number == 14 else {}
        if entry.get(1) == memoryview(wanted):
            found = bytes(entry.get(2, b""))
    if not has_graph:
        raise ValueError("it holds no graph")
    return found


def fields(content: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and content of a protobuf message's fields that have a length; numbers are skipped."""
    at = 0
    while at < len(content):
        tag, at = varint(content, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            _, at = varint(content, at)
            continue
        length, at = varint(content, at) if wire == 2 else (FIXED.get(wire, -1), at)
        if length < 0 or at + length > len(content):
            raise ValueError(f"field {number} at byte {at} is damaged")
        if wire == 2:
            yield number, content[at : at + length]
        at += length


def varint(content: memoryview, at: int) -> tuple[int, int]:
    """A protobuf integer of up to 10 bytes, and where it ends."""
    value = 0
    for i, byte in enumerate(content[at : at + 10]):
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return value, at + i + 1
    raise ValueError(f"the number at byte {at} has no end")


def import_onnxruntime() -> Any:
    """The module onnxruntime, without telemetry and warnings. Raises ToolError where it is not installed."""
    # From 1.30 it reports its use unless told not to before the import: a device id is written and programs are run.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    ort = require("onnxruntime")
    ort.set_default_logger_severity(ERRORS_ONLY)
    return ort


def make_session(ort: Any, path: Path, options: Any) -> Any:
    """An InferenceSession on the CPU. Raises ToolError where onnxruntime cannot load the file."""
    try:
        # Without enable_fallback=0 it prints a banner and tries a second time.
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:  # its errors share no base class below Exception
        raise ToolError(f"onnxruntime cannot load {path.name}: {one_line(error)}") from error


def manifest_in(session: Any, path: Path) -> dict[str, Any] | None:
    """The manifest in the metadata; None where it has none. Raises ToolError for text that is not UTF-8."""
    try:
        text = session.get_modelmeta().custom_metadata_map.get(METADATA)
    except UnicodeDecodeError as error:
        raise ToolError(f"onnxruntime cannot load {path.name}: {one_line(error)}") from error
    return None if text is None else parse_manifest(text, path.name)


def declared_scales(manifest: dict[str, Any] | None, where: str) -> dict[str, tuple[float, int]]:
    """Name -> (scale, zero point) from the manifest: an int8 input of an ONNX file does not carry its own."""
    try:
        tensors = [*(manifest or {}).get("inputs", []), *(manifest or {}).get("outputs", [])]
        return {t["name"]: (t["scale"], t["zero_point"]) for t in tensors if t.get("scale") is not None}
    except (AttributeError, KeyError, TypeError) as error:
        raise CheckError(f"the manifest inside {where} has no readable inputs and outputs; export it again") from error


def spec_of(node: Any, role: Any, scales: dict[str, tuple[float, int]]) -> TensorSpec:
    """A session's input or output; its type reads ``tensor(float)``, an open axis is a name or None."""
    kind = node.type.removeprefix("tensor(").removesuffix(")")
    dtype = DTYPES.get(kind, kind)
    shape = tuple(n if isinstance(n, int) else -1 for n in node.shape)
    scale, zero_point = scales.get(node.name, (None, None)) if "int8" in dtype else (None, None)
    return TensorSpec(node.name, role, shape, dtype=dtype, scale=scale, zero_point=zero_point)


def holds(path: Path, operators: tuple[bytes, ...]) -> bool:
    """Whether the graph holds one of these. Looks at the bytes: a device has no onnx package to parse it."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return any(content.find(name) >= 0 for name in operators)


def kernels(quantized: bool, exact_int8: bool) -> str:
    """The kind of kernels that run, as reports print it; int8 ones by whether this CPU has VNNI."""
    if not quantized:
        return "float"
    if exact_int8:
        return "QDQ as float"
    return {True: "int8 VNNI", False: "int8 without VNNI (may saturate)", None: "int8"}[has_vnni()]


RUNTIMES = (
    Runtime(
        name="onnxruntime",
        title="ONNX Runtime",
        suffixes=(".onnx",),
        order=3,
        open=open_file,
        read_manifest=read_manifest,
        load=import_onnxruntime,
        packages=("onnxruntime",),
        travels=True,
        measures=True,
    ),
)
