"""Core ML packages: read and checked on any machine, run on macOS.

The package is parsed with the protobuf classes that coremltools ships. What ``check`` proves is structure, not values,
and not what the Core ML compiler accepts.
"""

from __future__ import annotations

import importlib.util
import struct
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onenet.errors import CheckError, ToolError
from onenet.runtimes.session import METADATA, check_feeds, one_line, parse_manifest, require, version_of
from onenet.spec import TensorSpec

ROOT = Path("Data") / "com.apple.CoreML"
MODEL = ROOT / "model.mlmodel"
REFERENCE = "@model_path/"
"""How a program names a file: relative to the folder of ``model.mlmodel``."""
SENTINEL = 0xDEADBEEF
ENTRY = struct.Struct("<IIQQ")
"""Head of a weight's 64-byte entry: sentinel, dtype, bytes, offset of the data."""
ENTRY_BYTES = 64
ARRAY_DTYPES = {"FLOAT16": "float16", "FLOAT32": "float32", "DOUBLE": "float64", "INT32": "int32", "INT8": "int8"}
IMAGE_CHANNELS = {"RGB": 3, "BGR": 3, "GRAYSCALE": 1, "GRAYSCALE_FLOAT16": 1}
ELSEWHERE = "Core ML runs on macOS and iOS only"
PROTO = "onenet.runtimes._coreml_proto"


class CoreMLPackage:
    """A ``Session`` on an ``.mlpackage`` folder.

    An image input is reported, and fed, as float32 (1, C, H, W) in [0, 1]: Core ML's own form of it is a pixel
    buffer of 8 bits a channel, into which ``run`` rounds the values.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.model = read_model(path)
        self.inputs = tuple(spec_of(feature, "image") for feature in self.model.description.input)
        self.outputs = tuple(spec_of(feature, "logits") for feature in self.model.description.output)
        self.runs_here = sys.platform == "darwin"
        self.runtime: dict[str, Any] = {
            "name": "coreml",
            "version": version_of("coremltools"),
            "kernels": "chosen by Core ML" if self.runs_here else ELSEWHERE,
        }
        self.predictor: Any = None

    @property
    def operations(self) -> list[str]:
        """Operation types of the main block, in order; constants are operations too (``const``).

        Raises:
            CheckError: the package holds no ML program.
        """
        return [operation.type for block in main_blocks(self.model, self.path) for operation in block.operations]

    def check(self) -> None:
        """Every constant that the program keeps in a file is there.

        Raises:
            CheckError: not an ML program; a weight file is missing or outside the package; an entry does not begin with
                its sentinel, or its data reach beyond the end of the file.
        """
        for block in main_blocks(self.model, self.path):
            for value in values_of(block):
                if value.WhichOneof("value") == "blobFileValue":
                    check_blob(self.path, value.blobFileValue.fileName, value.blobFileValue.offset)

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        check_feeds(feeds, self.inputs)
        if not self.runs_here:
            raise ToolError(f"values of {self.path.name} cannot be checked on this machine: {ELSEWHERE}; use a Mac")
        try:
            return self.predict(feeds)
        except Exception as error:  # the framework's errors arrive as RuntimeError, NSError's text or plain Exception
            raise ToolError(f"Core ML failed on {self.path.name}: {one_line(error)}") from error

    def predict(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        if self.predictor is None:
            self.predictor = require("coremltools", "export").models.MLModel(str(self.path))
        images = {f.name for f in self.model.description.input if f.type.WhichOneof("Type") == "imageType"}
        results = self.predictor.predict({k: to_image(v) if k in images else v for k, v in feeds.items()})
        return {spec.name: np.asarray(results[spec.name], spec.dtype) for spec in self.outputs}


def load(path: Path, threads: int | None, exact_int8: bool) -> CoreMLPackage:
    del threads, exact_int8  # Core ML decides where and how it computes
    return CoreMLPackage(path)


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The entry ``onenet`` of the model's user-defined metadata."""
    entries = read_model(path).description.metadata.userDefined
    return parse_manifest(entries[METADATA], path.name) if METADATA in entries else None


def read_model(path: Path) -> Any:
    """The parsed ``model.mlmodel``.

    Raises:
        ToolError: coremltools is missing, or the file is missing or damaged.
    """
    proto = import_proto()
    damage = require("google.protobuf.message", "export").DecodeError
    try:
        model = proto.Model.FromString((path / MODEL).read_bytes())
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
            raise ToolError('coremltools is not installed, which reads Core ML packages; pip install "onenet[export]"')
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


def spec_of(feature: Any, role: Any) -> TensorSpec:
    kind = feature.type.WhichOneof("Type")
    if kind == "imageType":
        image = feature.type.imageType
        shape = (1, IMAGE_CHANNELS.get(enum_name(image, "colorSpace"), 3), image.height, image.width)
        return TensorSpec(feature.name, "image", shape, "NCHW", value_range=(0.0, 1.0))
    if kind == "multiArrayType":
        array = feature.type.multiArrayType
        code = enum_name(array, "dataType")
        return TensorSpec(feature.name, role, tuple(array.shape), dtype=ARRAY_DTYPES.get(code, code.lower()))
    raise CheckError(f"{feature.name} has the type {kind}; supported: multiArrayType, imageType")


def enum_name(message: Any, field: str) -> str:
    kind = message.DESCRIPTOR.fields_by_name[field].enum_type
    number = getattr(message, field)
    return str(kind.values_by_number[number].name) if number in kind.values_by_number else f"unknown {number}"


def main_blocks(model: Any, path: Path) -> list[Any]:
    """The main function's block for the operator set that the package was made for."""
    kind = model.WhichOneof("Type")
    if kind != "mlProgram":
        raise CheckError(f"{path.name} holds a model of type {kind}; supported: mlProgram")
    if "main" not in model.mlProgram.functions:
        names = ", ".join(model.mlProgram.functions) or "none"
        raise CheckError(f"{path.name} has no function main; found {names}")
    main = model.mlProgram.functions["main"]
    if main.opset not in main.block_specializations:
        raise CheckError(f"{path.name} has no block for its operator set {main.opset}")
    return [main.block_specializations[main.opset]]


def values_of(block: Any) -> Iterator[Any]:
    """Every constant value in a block: attributes, inline arguments, nested blocks."""
    for operation in block.operations:
        yield from operation.attributes.values()
        for argument in operation.inputs.values():
            yield from (each.value for each in argument.arguments if each.WhichOneof("binding") == "value")
        for inner in operation.blocks:
            yield from values_of(inner)


def check_blob(package: Path, name: str, offset: int) -> None:
    """One weight: the file that ``name`` means holds an entry at ``offset`` and all of its data."""
    root = (package / ROOT).resolve()
    file = (root / name.removeprefix(REFERENCE)).resolve()
    if not name.startswith(REFERENCE) or root not in file.parents:
        raise CheckError(f"{package.name} keeps weights in {name!r}, outside the package; expected {REFERENCE}...")
    if not file.is_file():
        raise CheckError(f"{package.name} lacks its weight file {name.removeprefix(REFERENCE)}")
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


def to_image(values: NDArray[Any]) -> Any:
    """(1, C, H, W) in [0, 1] as the PIL picture that coremltools takes for an image input."""
    from PIL import Image

    pixels = np.clip(np.rint(values[0] * 255), 0, 255).astype(np.uint8)
    return Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
