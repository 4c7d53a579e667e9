"""TFLite artifacts in LiteRT's interpreter (ai-edge-litert), or in tflite-runtime's where only that one installs.

Never through ``CompiledModel``: its accelerator library (2.3.0) dies with SIGILL on Cortex-A53 and A72 (Raspberry Pi 3
and 4).
The line "INFO: Created TensorFlow Lite XNNPACK delegate for CPU." on stderr stays: the library has no switch for it.
"""

from __future__ import annotations

import functools
import re
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from onenet.base.arrays import Array
from onenet.base.host import all_cores, require, version_of
from onenet.base.text import one_line
from onenet.errors import ToolError
from onenet.runtimes.session import METADATA, LayerValue, Operators, Runtime, RuntimeInfo, Session, parse_manifest
from onenet.runtimes.tensors import check_feeds
from onenet.spec import TensorSpec

IDENTIFIER = b"TFL3"
INTERPRETERS = {"ai-edge-litert": "ai_edge_litert.interpreter", "tflite-runtime": "tflite_runtime.interpreter"}
"""Distribution -> the module that holds its interpreter."""
MOVES = ("TRANSPOSE", "RESHAPE")
PART = re.compile(r"\.\d+$")
DAMAGED = (struct.error, IndexError, TypeError, ValueError, OverflowError, UnicodeDecodeError)
"""What reading a damaged flatbuffer raises."""


class LiteRTSession(Session):
    """A TFLite file. Names are the signature's where the file has one, else the tensors' own."""

    def __init__(self, path: Path, threads: int | None = None, package: str = "ai-edge-litert") -> None:
        self.module = require(INTERPRETERS[package])
        self.path, self.threads = path, threads or all_cores()
        try:
            self.interpreter = self.module.Interpreter(model_path=str(path), num_threads=self.threads)
            self.interpreter.allocate_tensors()
            self.describe()
        except (ValueError, RuntimeError) as error:
            raise ToolError(f"{package} cannot load {path.name}: {one_line(error)}") from error
        self.runtime = RuntimeInfo(package, version_of(package), self.kernels)

    @property
    def layer_kernels(self) -> str:
        """XNNPACK shows nothing between its operators."""
        return "built-in, without XNNPACK"

    def describe(self) -> None:
        """Read the tensors at both ends: names of the signature, shapes with -1 for free axes, scales."""
        names = signature_names(self.interpreter)
        inputs, outputs = self.interpreter.get_input_details(), self.interpreter.get_output_details()
        self.input_index = {names.get(each["index"], each["name"]): each["index"] for each in inputs}
        self.output_index = {names.get(each["index"], each["name"]): each["index"] for each in outputs}
        details = {each["index"]: each for each in [*inputs, *outputs]}
        self.inputs = tuple(spec_of(name, "image", details[i]) for name, i in self.input_index.items())
        self.outputs = tuple(spec_of(name, "logits", details[i]) for name, i in self.output_index.items())
        self.kernels = kernels(self.interpreter)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        check_feeds(feeds, self.inputs)
        try:
            return self.compute(feeds)
        except (ValueError, RuntimeError) as error:
            raise ToolError(f"{self.runtime.name} failed on {self.path.name}: {one_line(error)}") from error

    def compute(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run stored values by name; free axes take the shapes of the feeds."""
        # Not through the signature runner: it resizes and allocates on every call, which adds to every measured time.
        if any(-1 in spec.shape for spec in self.inputs):
            for name, index in self.input_index.items():
                self.interpreter.resize_tensor_input(index, feeds[name].shape)
            self.interpreter.allocate_tensors()
        for name, index in self.input_index.items():
            self.interpreter.set_tensor(index, feeds[name])
        self.interpreter.invoke()
        return {name: self.interpreter.get_tensor(index) for name, index in self.output_index.items()}

    def operators(self) -> Operators:
        names = Counter(each["op_name"] for each in self.interpreter._get_ops_details())
        partitions = names.pop("DELEGATE", 0)
        return Operators(dict(sorted(names.items())), partitions)

    def layers(self, feeds: Mapping[str, Array]) -> dict[str, LayerValue]:
        """By the tensor's name, with axes as the file has them."""
        check_feeds(feeds, self.inputs)
        try:
            interpreter = self.module.Interpreter(
                model_path=str(self.path),
                num_threads=self.threads,
                experimental_op_resolver_type=self.module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                experimental_preserve_all_tensors=True,
            )
            for name, index in self.input_index.items():
                interpreter.resize_tensor_input(index, feeds[name].shape)
            interpreter.allocate_tensors()
            for name, index in self.input_index.items():
                interpreter.set_tensor(index, feeds[name])
            interpreter.invoke()
            return layer_values(interpreter)
        except (ValueError, RuntimeError) as error:
            raise ToolError(f"{self.runtime.name} failed on {self.path.name}: {one_line(error)}") from error


def signature_names(interpreter: Any) -> dict[int, str]:
    """Tensor index -> name in the signature of the graph that ``invoke`` runs; empty where the file has none for it.

    Converters mangle a tensor's own name (``serving_default_image``); the signature holds the one that was asked for.
    """
    graph = {(t["index"], t["name"]) for t in [*interpreter.get_input_details(), *interpreter.get_output_details()]}
    for key in interpreter.get_signature_list():
        # Only for its details: a runner that is kept makes ``invoke`` refuse to run.
        runner = interpreter.get_signature_runner(key)
        details = [*runner.get_input_details().items(), *runner.get_output_details().items()]
        if {(t["index"], t["name"]) for _, t in details} == graph:
            return {t["index"]: name for name, t in details}
    return {}


def spec_of(name: str, role: Any, detail: dict[str, Any]) -> TensorSpec:
    """The TensorSpec of an interpreter's tensor; scale and zero point where it has one scale, not one per channel."""
    quantization = detail["quantization_parameters"]
    has_scale = len(quantization["scales"]) == 1
    return TensorSpec(
        name,
        role,
        tuple(int(n) for n in detail["shape_signature"]),
        dtype=np.dtype(detail["dtype"]).name,
        scale=float(quantization["scales"][0]) if has_scale else None,
        zero_point=int(quantization["zero_points"][0]) if has_scale else None,
    )


def kernels(interpreter: Any) -> str:
    """How many partitions of the graph XNNPACK took over."""
    # The only way to see it from Python; absent from a later version, it costs the remark and nothing else.
    list_operators = getattr(interpreter, "_get_ops_details", list)
    partitions = sum(each["op_name"] == "DELEGATE" for each in list_operators())
    return f"XNNPACK, {partitions} partition{'s' * (partitions > 1)}" if partitions else "built-in"


def layer_values(interpreter: Any) -> dict[str, LayerValue]:
    """What each operator gave that depends on the input, by name. A float value that is quantized next: as quantized.

    The parts of an operator of the network are named ``gelu.1``, ``gelu``, the last one after it. The converter also names a
    transpose after the operator that reads the same value, and then that is the last one: it is not the operator's result.
    """
    tensors = {each["index"]: each for each in interpreter.get_tensor_details()}
    computed = {each["index"] for each in interpreter.get_input_details()}
    values, moved = dict[str, LayerValue](), list[str]()
    for operator in interpreter._get_ops_details():  # there is no other way to their order; tflite-runtime has it as well
        sources = [index for index in operator["inputs"] if index in computed]
        if not sources:
            continue  # float16 weights behind their DEQUANTIZE
        computed |= set(operator["outputs"])
        if operator["op_name"] == "DEQUANTIZE":
            continue
        for index in operator["outputs"]:
            names = sources if operator["op_name"] == "QUANTIZE" and is_float(tensors[sources[0]]) else [index]
            spec = spec_of(tensors[names[0]]["name"], "logits", tensors[index])
            values[spec.name] = LayerValue(interpreter.get_tensor(index), spec.scale, spec.zero_point or 0)
            source = str(tensors[sources[0]]["name"])
            if operator["op_name"] in MOVES and whole_of(source) != whole_of(spec.name):
                moved.append(spec.name)
    for name in moved:
        parts = [each for each in values if each != name and whole_of(each) == name and each not in moved]
        if parts:
            values[name] = values.pop(parts[-1])
    return values


def whole_of(name: str) -> str:
    """The operator of the network that a tensor is a part of."""
    return PART.sub("", name)


def is_float(tensor: dict[str, Any]) -> bool:
    """Whether a tensor's dtype is a floating-point one."""
    return bool(np.dtype(tensor["dtype"]).kind == "f")


def read_manifest(path: Path) -> dict[str, object] | None:
    """The metadata buffer ``onenet``."""
    try:
        data = metadata(read(path), METADATA.encode())
    except DAMAGED as error:
        raise ToolError(f"{path.name} is damaged: {one_line(error)}") from error
    return None if data is None else parse_manifest(data, path.name)


def metadata(content: bytes, wanted: bytes) -> bytes | None:
    """A named metadata buffer of the flatbuffer.

    Read by hand, because tflite-runtime brings no schema. Fields, counted from 0 in the TFLite schema: Model.buffers 4,
    Model.metadata 6, Metadata.name 0, Metadata.buffer 1, Buffer.data 0.
    """
    view = memoryview(content)  # whose slices cost nothing: in a damaged file thousands of entries can name all of it
    model = follow(view, 0)
    for entry in tables(view, model, 6):
        if vector(view, entry, 0) == wanted:
            at = field(view, entry, 1)
            index = unsigned(view, at) if at else 0
            return bytes(vector(view, tables(view, model, 4)[index], 0))
    return None


def unsigned(content: memoryview, at: int) -> int:
    """The little-endian uint32 at byte ``at``."""
    return int(struct.unpack_from("<I", content, at)[0])


def follow(content: memoryview, at: int) -> int:
    """Flatbuffer references are relative to where they stand."""
    return at + unsigned(content, at)


def field(content: memoryview, table: int, number: int) -> int:
    """Where a table's field lies; 0 if it is left out."""
    vtable = table - int(struct.unpack_from("<i", content, table)[0])
    size, entry = struct.unpack_from("<H", content, vtable)[0], 4 + 2 * number
    offset = int(struct.unpack_from("<H", content, vtable + entry)[0]) if entry < size else 0
    return table + offset if offset else 0


def vector(content: memoryview, table: int, number: int) -> memoryview:
    """A field that holds bytes or a string; empty if left out."""
    start, length = extent(content, table, number, 1)
    return content[start : start + length]


def tables(content: memoryview, table: int, number: int) -> list[int]:
    """A field that holds tables: where each lies; empty if left out."""
    start, length = extent(content, table, number, 4)
    return [follow(content, start + 4 * i) for i in range(length)]


def extent(content: memoryview, table: int, number: int, width: int) -> tuple[int, int]:
    """Where the elements of a field that holds a vector begin, and how many there are; ``width``: bytes of each."""
    at = field(content, table, number)
    if not at:
        return 0, 0
    start = follow(content, at)
    length = unsigned(content, start)
    if start + 4 + width * length > len(content):
        raise ValueError(f"{length} elements at {start} reach beyond its end")
    return start + 4, length


def operators(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Every operator as the file stores it, before any delegate: name, and dtypes of its activations.

    Inputs come before outputs. Weights, biases, permutations and other constants are left out. Needs ai-edge-litert.

    Raises:
        ToolError: ai-edge-litert is missing, or the file is damaged.
    """
    schema = require("ai_edge_litert.schema_py_generated")
    try:
        model = schema.Model.GetRootAs(read(path), 0)
        graphs = [model.Subgraphs(i) for i in range(model.SubgraphsLength())]
        return [each for graph in graphs for each in operators_of(schema, model, graph)]
    except DAMAGED as error:
        raise ToolError(f"{path.name} is damaged: {one_line(error)}") from error


def operators_of(schema: Any, model: Any, graph: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Operator name and the dtypes of its activations, in the order of the graph; constants are left out."""
    builtins, types = names_of(schema.BuiltinOperator), names_of(schema.TensorType)
    for place in range(graph.OperatorsLength()):
        operator = graph.Operators(place)
        code = model.OperatorCodes(operator.OpcodeIndex())
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())  # old files fill only the 8-bit field
        is_custom = number == schema.BuiltinOperator.CUSTOM
        name = code.CustomCode().decode() if is_custom else builtins.get(number, f"operator {number}")
        ends = [operator.Inputs(i) for i in range(operator.InputsLength())]
        ends += [operator.Outputs(i) for i in range(operator.OutputsLength())]
        tensors = [graph.Tensors(i) for i in ends if i >= 0]  # -1: an optional input left out
        activations = [t for t in tensors if not is_constant(model.Buffers(t.Buffer()))]
        yield name, tuple(types.get(t.Type(), f"type {t.Type()}").lower() for t in activations)


def is_constant(buffer: Any) -> bool:
    """Whether a buffer holds data, in the flatbuffer or behind it (files over 2 GB)."""
    return bool(buffer.DataLength() > 0 or buffer.Size() > 1)  # Size: data behind the flatbuffer, in files over 2 GB


def names_of(enumeration: type) -> dict[int, str]:
    """Number -> name of an enumeration class that the flatbuffer compiler wrote."""
    return {number: name for name, number in vars(enumeration).items() if isinstance(number, int)}


def read(path: Path) -> bytes:
    """The bytes of a TFLite file. Raises ToolError where it cannot be read or lacks the identifier TFL3."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ToolError(f"{path.name} cannot be read: {error.strerror or error}") from error
    if content[4:8] != IDENTIFIER:
        raise ToolError(f"{path.name} is not a TFLite file: found {content[4:8]!r}, expected {IDENTIFIER!r} at byte 4")
    return content


def open_in(package: str, path: Path, threads: int | None, exact_int8: bool) -> LiteRTSession:
    """Open a file in the interpreter of ``package``; its int8 kernels are exact anyway."""
    del exact_int8  # its int8 kernels add in 32 bits on every CPU
    return LiteRTSession(path, threads, package)


def card(package: str, title: str, order: int) -> Runtime:
    """The Runtime card of one interpreter package for .tflite files."""
    return Runtime(
        name=package,
        title=title,
        suffixes=(".tflite",),
        order=order,
        open=functools.partial(open_in, package),
        read_manifest=read_manifest,
        load=functools.partial(require, INTERPRETERS[package]),
        packages=(package,),
        travels=True,
        measures=True,
    )


RUNTIMES = (card("ai-edge-litert", "LiteRT", 1), card("tflite-runtime", "TensorFlow Lite", 2))
