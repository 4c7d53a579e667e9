"""Core ML ML programs through coremltools, made on Linux or macOS; RGB images go in as Core ML images.

iOS 16 for fp32 and fp16 (pixel_unshuffle), iOS 17 for int8 (quantize/dequantize operators).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch._ops import OperatorBase, OpOverload
from torch.export import ExportedProgram
from torch.nn.functional import softplus

from onenet.base.quiet import quiet
from onenet.exporters.exporter import Exporter
from onenet.exporters.job import Job
from onenet.lowering.operators import aten
from onenet.spec import ModelSpec, TensorSpec

if TYPE_CHECKING:
    from coremltools.models import MLModel

METADATA = "onenet"
PREVIEW = "com.apple.coreml.model.preview"
NAMESPACE = "https://arxiv.org/abs/2411.09838"
"""Root of the package items' identifiers: random UUIDs would make two exports differ."""


@contextlib.contextmanager
def interrupt_later() -> Iterator[None]:
    """Hold a Ctrl-C back until the end: coremltools tries its optional packages inside bare ``except:``, which swallow it."""
    if threading.current_thread() is not threading.main_thread():  # only that one gets signals, and may handle them
        yield
        return
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.default_int_handler)  # None: it was not set from Python
    if pressed:
        signal.raise_signal(signal.SIGINT)


def input_type(ct: ModuleType, spec: TensorSpec) -> object:
    """RGB images as ``ImageType`` (0..255 scaled to [0, 1]); anything else as a float tensor."""
    if is_picture(spec):
        return ct.ImageType(name=spec.name, shape=spec.shape, scale=1 / 255, color_layout=ct.colorlayout.RGB)
    return ct.TensorType(name=spec.name, shape=spec.shape, dtype=np.dtype(spec.dtype))


def is_picture(spec: TensorSpec) -> bool:
    """Whether an input is one RGB image, which Core ML can take as an image of its own."""
    return spec.role == "image" and spec.shape[:2] == (1, 3)


def output_dtype(spec: TensorSpec) -> type[np.generic]:
    """numpy's type of an output: Core ML gives float32 and int32."""
    return np.int32 if spec.dtype.startswith("int") else np.float32


def describe(model: MLModel, job: Job) -> None:
    """Give a package its name, its version and what Xcode's preview needs."""
    model.short_description = f"{job.model.spec.name}, {job.precision}"
    model.version = "1"
    for name, value in preview(job.model.spec).items():
        model.user_defined_metadata[f"{PREVIEW}.{name}"] = value


def preview(spec: ModelSpec) -> dict[str, str]:
    """What Xcode's tab "Preview" reads: it draws a segmentation of one picture in its classes' colours; nothing for others.

    Its keys are Apple's: coremltools' guide, "Xcode Model Preview Types".
    """
    pictures = [each for each in spec.inputs if is_picture(each)]
    if spec.task != "segmentation" or len(pictures) != 1 or len(spec.inputs) != 1:
        return {}
    classes = {"labels": [each.name for each in spec.classes], "colors": [each.colour for each in spec.classes]}
    return {"type": "imageSegmenter", "params": json.dumps(classes)}


def normalise(path: Path) -> None:
    """Take out random identifiers, dates and debug files, so that the same input gives the same bytes."""
    from coremltools.proto import Model_pb2

    for extra in path.rglob("executorch_debug_handle_mapping.json"):
        extra.unlink()
    file = path / "Manifest.json"
    manifest = json.loads(file.read_text())
    names = {old: stable_id(item["path"]) for old, item in manifest["itemInfoEntries"].items()}
    names = {old: new for old, new in names.items() if (path / "Data" / manifest["itemInfoEntries"][old]["path"]).exists()}
    manifest["itemInfoEntries"] = {names[old]: manifest["itemInfoEntries"][old] for old in sorted(names, key=names.__getitem__)}
    manifest["rootModelIdentifier"] = names[manifest["rootModelIdentifier"]]
    file.write_text(json.dumps(manifest, indent=4, sort_keys=True))
    model_file = model_path(path)
    model = Model_pb2.Model.FromString(model_file.read_bytes())
    for key in [k for k in model.description.metadata.userDefined if "date" in k.lower()]:
        del model.description.metadata.userDefined[key]
    model_file.write_bytes(model.SerializeToString(deterministic=True))


def stable_id(item: str) -> str:
    """An identifier that depends on the item's path alone."""
    import uuid

    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{NAMESPACE}/{item}")).upper()


def model_path(package: Path) -> Path:
    """The file inside a package that holds the program."""
    return package / "Data" / "com.apple.CoreML" / "model.mlmodel"


DECOMPOSITIONS: dict[OpOverload, Callable[..., object]] = {
    aten.log_sigmoid.default: lambda x: -softplus(-x),
    aten.where.ScalarOther: lambda chosen, x, other: torch.where(chosen, x, number_like(x, other)),
    aten.where.ScalarSelf: lambda chosen, number, x: torch.where(chosen, number_like(x, number), x),
    aten.where.Scalar: lambda chosen, a, b: torch.where(chosen, torch.full((1,), float(a)), torch.full((1,), float(b))),
}
"""Where PyTorch's own way is none that coremltools knows."""
UNREAD = {aten.gelu.default: "approximate"}
"""Operator -> a keyword argument that coremltools (9.0) does not read: a GELU by tanh became one by the error function."""


def number_like(x: Tensor, number: float) -> Tensor:
    """A number as a tensor of the type of ``x``."""
    return torch.full((1,), number, dtype=x.dtype)


def in_known_operators(program: ExportedProgram) -> ExportedProgram:
    """The program with operators that coremltools does not know taken apart, as far as PyTorch can."""
    from torch._decomp import get_decompositions
    from torch._export.utils import _get_decomp_for_cia

    before: set[OpOverload] = set()
    while (now := operators_of(program)) != before:
        misread = {node.target for node in program.graph.nodes if UNREAD.get(node.target) in node.kwargs}
        unknown = [target for target in now if not is_known(target) or target in misread]
        table: dict[OperatorBase, Callable[..., object]] = {
            **{target: _get_decomp_for_cia(target) for target in unknown if target._can_decompose()},
            **get_decompositions(unknown),
            **{target: DECOMPOSITIONS[target] for target in unknown if target in DECOMPOSITIONS},
        }
        if not table:
            break
        before, program = now, program.run_decompositions(table)
    return program


def operators_of(program: ExportedProgram) -> set[OpOverload]:
    """The ATen operators that a program calls."""
    return {node.target for node in program.graph.nodes if isinstance(node.target, OpOverload)}


def is_known(target: OpOverload) -> bool:
    """Whether coremltools has a translation of an operator."""
    from coremltools.converters.mil.frontend.torch.torch_op_registry import _TORCH_OPS_REGISTRY

    return _TORCH_OPS_REGISTRY.get_func(str(target)) is not None


def with_defaults(program: ExportedProgram) -> ExportedProgram:
    """The program itself, with every argument said: torch.export leaves out what is a default, and coremltools misses it."""
    for node in program.graph.nodes:
        if not isinstance(node.target, OpOverload):
            continue
        arguments, given = list(node.args), dict(node.kwargs)
        for argument in node.target._schema.arguments[len(arguments) :]:
            if argument.kwarg_only:
                break
            arguments.append(given.pop(argument.name, argument.default_value))
        while len(arguments) > len(node.args) and arguments[-1] is None:
            arguments.pop()
        node.args, node.kwargs = tuple(arguments), given
    return program


def converted(ct: ModuleType, program: ExportedProgram, job: Job) -> MLModel:
    """What coremltools makes of a program."""
    spec = job.model.spec
    return ct.convert(
        program,
        inputs=[input_type(ct, each) for each in spec.inputs],
        outputs=[ct.TensorType(name=each.name, dtype=output_dtype(each)) for each in spec.outputs],
        minimum_deployment_target=ct.target.iOS17 if job.quantized else ct.target.iOS16,
        compute_precision=ct.precision.FLOAT16 if job.precision == "fp16" else ct.precision.FLOAT32,
        skip_model_load=True,
    )


class CoreMLExporter(Exporter):
    """ML programs, in packages."""

    def convert(self, job: Job, path: Path) -> None:
        """Write the package, without its manifest, to ``path`` (a folder)."""
        with quiet():
            with interrupt_later():
                import coremltools as ct  # 9 s: only here
            program = in_known_operators(job.program.run_decompositions({}))
            try:
                model = converted(ct, program, job)
            except Exception:  # of any kind; saying every argument always would make other files of the same values
                model = converted(ct, with_defaults(program), job)
            describe(model, job)
            model.save(str(path))
        normalise(path)

    def embed(self, path: Path, manifest: str) -> None:
        """Store the manifest in the model's user-defined metadata under the key ``onenet``."""
        from coremltools.proto import Model_pb2

        file = model_path(path)
        model = Model_pb2.Model.FromString(file.read_bytes())
        model.description.metadata.userDefined[METADATA] = manifest
        temporary = file.with_suffix(".new")
        temporary.write_bytes(model.SerializeToString(deterministic=True))
        os.replace(temporary, file)

    def layer_names(self, program: ExportedProgram) -> dict[str, str]:
        """Core ML's names come from the decomposed program."""
        nodes = in_known_operators(program.run_decompositions({})).graph.nodes
        return {node.name: node.meta["from_node"][-1].name for node in nodes if node.meta.get("from_node")}


EXPORTER = CoreMLExporter()
