"""Core ML packages: run by Core ML on macOS, and evaluated operator by operator (``program``) on any machine.

The package is parsed with the protobuf classes that coremltools ships. What ``check`` proves is structure; what the
evaluator proves is the program's arithmetic. Neither shows what the Core ML compiler accepts.
"""

from __future__ import annotations

import functools
import importlib.util
import struct
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from onenet import __version__
from onenet.base.arrays import Array
from onenet.base.host import require, version_of
from onenet.base.text import one_line, printable
from onenet.errors import CheckError, ToolError
from onenet.runtimes.backends.coreml.layers import program_layers
from onenet.runtimes.backends.coreml.messages import Block, Feature, ModelMessage, Value
from onenet.runtimes.backends.coreml.program import Program, Watch, enum_name, unsupported
from onenet.runtimes.session import EVALUATOR, METADATA, LayerValue, RuntimeInfo, Session, parse_manifest
from onenet.runtimes.tensors import check_feeds
from onenet.spec import Role, TensorSpec

if TYPE_CHECKING:
    from PIL.Image import Image

ROOT = Path("Data") / "com.apple.CoreML"
MODEL = ROOT / "model.mlmodel"
REFERENCE = "@model_path/"
"""How a program names a file: relative to the folder of ``model.mlmodel``."""
SENTINEL = 0xDEADBEEF
ENTRY = struct.Struct("<IIQQ")
"""Head of a weight's 64-byte entry: sentinel, dtype, bytes, offset of the data."""
ENTRY_BYTES = 64
ARRAY_DTYPES = {"FLOAT16": "float16", "FLOAT32": "float32", "DOUBLE": "float64", "INT32": "int32", "INT8": "int8"}
COLOURS = ("RGB", "BGR", "GRAYSCALE")
"""Colour spaces of 8 bits a channel."""
IMAGE_CHANNELS = {"RGB": 3, "BGR": 3, "GRAYSCALE": 1, "GRAYSCALE_FLOAT16": 1}
PROTO = "onenet.runtimes._coreml_proto"


class CoreMLPackage(Session):
    """An ``.mlpackage`` folder.

    An image input is reported, and fed, as float32 (1, C, H, W) in [0, 1], RGB or grayscale: Core ML's own form of it is
    a pixel buffer of 8 bits a channel, into which ``run`` rounds the values wherever it computes.

    Args:
        path: the package.
        native: compute with Core ML, or with the evaluator. None: with Core ML where it is, on macOS.

    Raises:
        ToolError: the package cannot be read, or Core ML is asked for where it is not.
    """

    def __init__(self, path: Path, native: bool | None = None) -> None:
        has_core_ml = sys.platform == "darwin"
        if native and not has_core_ml:
            raise ToolError(f"{path.name} was to be run by Core ML, which macOS and iOS have; leave native out")
        self.path = path
        self.model = read_model(path)
        self.inputs = tuple(spec_of(feature, "image") for feature in self.model.description.input)
        self.outputs = tuple(spec_of(feature, "logits") for feature in self.model.description.output)
        self.native = has_core_ml if native is None else native
        obstacle = "" if self.native else self.obstacle
        self.runs_here = not obstacle
        self.runtime = RuntimeInfo(
            name="coreml" if self.native else f"coreml{EVALUATOR}",
            version=version_of("coremltools") if self.native else __version__,
            kernels=obstacle or ("chosen by Core ML" if self.native else f"numpy, torch {version_of('torch')}"),
        )
        self.predictor: Any = None
        self.files: dict[Path, NDArray[np.uint8]] = {}

    @functools.cached_property
    def obstacle(self) -> str:
        """Why this package cannot be evaluated; empty where it can, or where ``check`` will say that it is damaged."""
        try:
            (block,) = main_blocks(self.model, self.path)
        except CheckError:
            return "it holds no program to evaluate"
        found = unsupported(self.model.mlProgram.functions["main"], block)
        found += [f"images of colour space {each}" for each in sorted(self.colours().values()) if each not in COLOURS]
        if found:
            return f"the evaluator does not know {printable(', '.join(found))}; Core ML runs on macOS"
        return "" if importlib.util.find_spec("torch") else 'the evaluator needs torch; pip install "onenet-export[export]"'

    @property
    def operations(self) -> list[str]:
        """Operation types of the main block, in order; constants are operations too (``const``).

        Raises:
            CheckError: the package holds no ML program.
        """
        return [operation.type for block in main_blocks(self.model, self.path) for operation in block.operations]

    def check(self) -> str:
        """Every constant that the program keeps in a file is there.

        Raises:
            CheckError: not an ML program; a weight file is missing or outside the package; an entry does not begin with
                its sentinel, or its data reach beyond the end of the file.
        """
        for block in main_blocks(self.model, self.path):
            for value in values_of(block):
                if value.WhichOneof("value") == "blobFileValue":
                    check_blob(self.path, value.blobFileValue.fileName, value.blobFileValue.offset)
        return "every weight that the program refers to is in the package"

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        check_feeds(feeds, self.inputs)
        if not self.native:
            return self.evaluate(feeds)
        try:
            return self.predict(feeds)
        except Exception as error:  # the framework's errors arrive as RuntimeError, NSError's text or plain Exception
            raise ToolError(f"Core ML failed on {self.path.name}: {one_line(error)}") from error

    def predict(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Run in Core ML, which needs macOS and coremltools; image inputs are given as pictures."""
        if self.predictor is None:
            self.predictor = require("coremltools", "export").models.MLModel(str(self.path))
        images = self.colours()
        results = self.predictor.predict({k: to_image(v) if k in images else v for k, v in feeds.items()})
        return {spec.name: np.asarray(results[spec.name], spec.dtype) for spec in self.outputs}

    def evaluate(self, feeds: Mapping[str, Array], watch: Watch | None = None) -> dict[str, Array]:
        """Evaluate the program on any machine, whatever ``native`` says.

        Args:
            feeds: as ``run`` takes them; image inputs are rounded to 8 bits as Core ML rounds them.
            watch: called with an operation's type, one of its outputs' names and the value, for each output of each
                operation but constants, in the program's order. The names of the operators that come from torch are those
                of its nodes (``conv2d_3``, ``relu_2``, ``cat``); ``quantize_33`` and the like are the converter's own.

        Raises:
            RequestError: names, shapes or dtypes of ``feeds`` differ from ``inputs``.
            CheckError: the package is damaged, or a result is not what the program declares.
            ToolError: the evaluator does not know all of the program.
        """
        check_feeds(feeds, self.inputs)
        if self.obstacle:
            raise ToolError(f"{self.path.name} cannot be evaluated: {self.obstacle}")
        colours = self.colours()
        stored = {name: to_pixels(each, colours[name]) if name in colours else each for name, each in feeds.items()}
        results = self.program.run(stored, watch)
        return {spec.name: results[spec.name] for spec in self.outputs}

    def layers(self, feeds: Mapping[str, Array]) -> dict[str, LayerValue]:
        """Always in the evaluator: Core ML shows nothing between its operators.

        Raises:
            RequestError, CheckError, ToolError: as ``evaluate``.
        """
        values: dict[str, Array] = {}

        def watch(_: str, name: str, value: Array) -> None:
            values[name] = value

        self.evaluate(feeds, watch)
        return program_layers(self.program.steps, values)

    @functools.cached_property
    def program(self) -> Program:
        """The main function with its constants, read once; weights stay in their files, mapped into memory.

        Raises:
            CheckError: it is damaged, or does not have the inputs and outputs that the package describes.
        """
        (block,) = main_blocks(self.model, self.path)
        program = Program(self.model.mlProgram.functions["main"], block, self.read_blob, self.path.name)
        for kind, described, own in (
            ("inputs", self.inputs, [each.name for each in program.inputs]),
            ("outputs", self.outputs, list(program.outputs)),
        ):
            names = [each.name for each in described]
            if sorted(names) != sorted(own):
                raise CheckError(f"{self.path.name} describes the {kind} {names}; its program has {own}")
        return program

    def read_blob(self, name: str, offset: int) -> NDArray[np.uint8]:
        """The bytes of a weight at ``offset`` of a weight file. Raises as check_blob does."""
        file, start, length = check_blob(self.path, name, offset)
        if file not in self.files:
            self.files[file] = np.memmap(file, np.uint8, "r")
        return np.asarray(self.files[file][start : start + length])

    def colours(self) -> dict[str, str]:
        """The colour space of each input that is an image."""
        features = self.model.description.input
        kinds = {f.name: f.type.imageType for f in features if f.type.WhichOneof("Type") == "imageType"}
        return {name: enum_name(kind, "colorSpace") for name, kind in kinds.items()}


def read_manifest(path: Path) -> dict[str, object] | None:
    """The entry ``onenet`` of the model's user-defined metadata."""
    entries = read_model(path).description.metadata.userDefined
    return parse_manifest(entries[METADATA], path.name) if METADATA in entries else None


def read_model(path: Path) -> ModelMessage:
    """The parsed ``model.mlmodel``.

    Raises:
        ToolError: coremltools is missing, or the file is missing or damaged.
    """
    proto = import_proto()
    damage = require("google.protobuf.message", "export").DecodeError
    try:
        model: ModelMessage = proto.Model.FromString((path / MODEL).read_bytes())
    except OSError as error:
        raise ToolError(f"{path.name} is not a Core ML package: {MODEL} is missing or unreadable") from error
    except damage as error:
        raise ToolError(f"{path.name} is damaged: {MODEL} does not parse ({one_line(error)})") from error
    if model.WhichOneof("Type") is None:  # as an empty file, which parses
        raise ToolError(f"{path.name} is damaged: {MODEL} holds no model")
    return model


def import_proto() -> Any:
    """coremltools' ``proto/Model_pb2``, in 0.1 s where ``import coremltools`` takes 4 to 9 s.

    The folder ``proto`` uses only relative imports, so it loads as a package of its own. Both copies describe the same
    messages in protobuf's one pool: importing coremltools before or afterwards works, with the same classes.
    """
    if "coremltools" in sys.modules:
        return require("coremltools.proto.Model_pb2", "export")
    if PROTO not in sys.modules:
        found = importlib.util.find_spec("coremltools")
        if found is None or not found.submodule_search_locations:
            raise ToolError('coremltools is not installed, which reads Core ML packages; pip install "onenet-export[export]"')
        folder = Path(found.submodule_search_locations[0]) / "proto"
        load_package(PROTO, folder)
    return require(f"{PROTO}.Model_pb2", "export")


def load_package(name: str, folder: Path) -> None:
    """Make ``folder`` importable as the package ``name``."""
    places = [str(folder)]
    spec = importlib.util.spec_from_file_location(name, folder / "__init__.py", submodule_search_locations=places)
    if spec is None or spec.loader is None:
        raise ToolError(f"coremltools has no readable folder {folder.name}; install coremltools 9.0")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (ImportError, OSError) as error:
        del sys.modules[name]
        raise ToolError(f"coremltools' protobuf classes do not load: {one_line(error)}; install 9.0") from error


def spec_of(feature: Feature, role: Role) -> TensorSpec:
    """The TensorSpec of a feature; an image has values 0 to 1. Raises CheckError for any other type than image or array."""
    kind = feature.type.WhichOneof("Type")
    if kind == "imageType":
        image = feature.type.imageType
        shape = (1, IMAGE_CHANNELS.get(enum_name(image, "colorSpace"), 3), image.height, image.width)
        return TensorSpec(feature.name, "image", shape, "NCHW", value_range=(0.0, 1.0))
    if kind == "multiArrayType":
        array = feature.type.multiArrayType
        code = enum_name(array, "dataType")
        return TensorSpec(feature.name, role, tuple(array.shape), dtype=ARRAY_DTYPES.get(code, code.lower()))
    raise CheckError(f"{printable(feature.name)} has the type {kind}; supported: multiArrayType, imageType")


def main_blocks(model: ModelMessage, path: Path) -> list[Block]:
    """The main function's block for the operator set that the package was made for."""
    kind = model.WhichOneof("Type")
    if kind != "mlProgram":
        raise CheckError(f"{path.name} holds a model of type {kind}; supported: mlProgram")
    if "main" not in model.mlProgram.functions:
        names = ", ".join(model.mlProgram.functions) or "none"
        raise CheckError(f"{path.name} has no function main; found {printable(names)}")
    main = model.mlProgram.functions["main"]
    if main.opset not in main.block_specializations:
        raise CheckError(f"{path.name} has no block for its operator set {printable(main.opset)}")
    return [main.block_specializations[main.opset]]


def values_of(block: Block) -> Iterator[Value]:
    """Every constant value in a block: attributes, inline arguments, nested blocks."""
    for operation in block.operations:
        yield from operation.attributes.values()
        for argument in operation.inputs.values():
            yield from (each.value for each in argument.arguments if each.WhichOneof("binding") == "value")
        for inner in operation.blocks:
            yield from values_of(inner)


def check_blob(package: Path, name: str, offset: int) -> tuple[Path, int, int]:
    """One weight: the file that ``name`` means holds an entry at ``offset`` and all of its data.

    Returns:
        The file, and where in it the data begin and how many bytes they are.
    """
    root = (package / ROOT).resolve()
    shown = printable(name.removeprefix(REFERENCE)[:200])
    try:
        file = (root / name.removeprefix(REFERENCE)).resolve()
        is_there = file.is_file()
    except (OSError, ValueError) as error:  # too long, or with a NUL: no file can have that name
        raise CheckError(f"{package.name} lacks its weight file {shown}") from error
    if not name.startswith(REFERENCE) or root not in file.parents:
        raise CheckError(f"{package.name} keeps weights in {name[:200]!r}, outside the package; expected {REFERENCE}...")
    if not is_there:
        raise CheckError(f"{package.name} lacks its weight file {shown}")
    size = file.stat().st_size
    if offset + ENTRY_BYTES > size:
        raise CheckError(f"{package.name}: weight entry at {offset} lies outside {file.name} of {size} bytes")
    with file.open("rb") as stream:
        stream.seek(offset)
        sentinel, _dtype, length, start = ENTRY.unpack(stream.read(ENTRY.size))
    if sentinel != SENTINEL:
        raise CheckError(f"{package.name}: weight at {offset} of {file.name} begins {sentinel:#x}, not {SENTINEL:#x}")
    if start + length > size:
        raise CheckError(f"{package.name}: weight at {start} needs {length} bytes, {file.name} ends at {size}")
    return file, start, length


def to_image(values: Array) -> Image:
    """(1, C, H, W) in [0, 1] as the PIL picture that coremltools takes for an image input."""
    from PIL import Image

    pixels = np.clip(np.rint(values[0] * 255), 0, 255).astype(np.uint8)
    return Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))


def to_pixels(values: Array, colour: str) -> NDArray[np.float32]:
    """(1, C, H, W) in [0, 1] as the program takes an image: whole numbers from 0 to 255, in the colour space's order."""
    pixels: NDArray[np.float32] = np.clip(np.rint(values * 255), 0, 255).astype(np.float32)
    return pixels[:, ::-1] if colour == "BGR" else pixels
