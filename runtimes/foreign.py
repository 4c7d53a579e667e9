"""Artifacts from elsewhere: what a file that onenet did not make says of itself, as a manifest says it.

So it can be measured beside ours. Nothing is known of what it should compute: it has no golden outputs.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np

from onenet.base.arrays import Array
from onenet.base.files import publish, sha256_of, size_of, temporary_folder
from onenet.base.text import shape_text
from onenet.errors import NotShownError, RequestError
from onenet.runtimes import golden, open_session, read_manifest
from onenet.runtimes.artifact import Artifact, read_sidecar, sidecar_of
from onenet.runtimes.manifest import ANOTHER_TOOL, SCHEMA, parse_manifest
from onenet.runtimes.session import Session
from onenet.spec import Layout, TensorSpec, numbered_classes
from onenet.targets import TARGETS
from onenet.tasks import Task, recognize, task_of
from onenet.tasks.image import ImageModel

FOLDER = "foreign"
LABELS = 256
"""Classes of a file whose output holds labels, where nobody names them: what a mask can hold."""
QUANTIZES = ("quantize", "qlinear")
"""In the names of operators, of every format, that only a quantized file has."""


@dataclasses.dataclass(frozen=True)
class Elsewhere:
    """What a file from elsewhere does not say of itself, and ``onenet run`` must know."""

    size: tuple[int, int] | None = None
    """Height and width of its image, where the file leaves them open."""
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    """It takes (x - mean) / std of RGB in [0, 1], in the order of its channels."""
    bgr: bool = False
    class_names: tuple[str, ...] = ()


def is_foreign(path: Path) -> bool:
    """Whether a file carries no manifest, and has none beside it.

    Raises:
        RequestError: no such file, or a format that no runtime opens.
        CheckError: its manifest is damaged.
        ToolError: it cannot be read.
    """
    return read_manifest(path) is None and read_sidecar(path) is None


def adopted(path: Path, folder: Path) -> Path:
    """A copy of a file from elsewhere with a manifest beside it; the file itself where it has one already.

    Args:
        path: the file.
        folder: under which copies are kept, one for each content.

    Raises:
        RequestError: no such file, or one whose inputs have no fixed size.
        ToolError: its runtime is missing or cannot load it.
    """
    if not is_foreign(path):
        return path
    weights = path.with_name(f"{path.name}.data")
    if weights.exists():
        raise RequestError(
            f"{path.name} keeps its weights in {weights.name}; a device is given one file: "
            f"python -c \"import onnx; onnx.save(onnx.load('{path}'), 'alone.onnx')\""
        )
    digest = sha256_of(path)
    place = folder / FOLDER / digest[:12]
    manifest = {**describe(path), "artifact": {"file": path.name, "bytes": size_of(path), "sha256": digest}}
    with temporary_folder(place) as scratch:
        copy = scratch / path.name
        shutil.copytree(path, copy) if path.is_dir() else shutil.copyfile(path, copy)
        sidecar_of(copy).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
        publish(copy, place / path.name)
        publish(sidecar_of(copy), sidecar_of(place / path.name))
    return place / path.name


def describe(path: Path, size: tuple[int, int] | None = None) -> dict[str, object]:
    """The manifest of a file from elsewhere, with a fixed pattern as its golden input.

    Args:
        path: the file.
        size: height and width of its image, where the file leaves them open.

    Raises:
        RequestError: an axis is open, and nothing says how long it is.
        ToolError: its runtime is missing or cannot load it.
    """
    session = open_session(path, 1)
    inputs = [completed(spec, size, path) for spec in session.inputs]
    outputs = [completed(spec, None, path, like=inputs[0]) for spec in session.outputs]
    task, known = recognize([(spec.canonical().shape, spec.canonical().dtype) for spec in outputs])
    roles = [dataclasses.replace(spec, role=each.role) for spec, each in zip(outputs, known)]
    target = next(card.name for card in TARGETS.cards().values() if card.suffix == path.suffix)
    samples = [golden.make_input(spec.canonical(), None, place) for place, spec in enumerate(inputs)]
    return {
        "schema": SCHEMA,
        "name": path.stem,
        "task": task.name,
        "target": target,
        "precision": precision_of(session),
        "io": "float",
        "inputs": [dataclasses.asdict(spec) for spec in inputs],
        "outputs": [dataclasses.asdict(spec) for spec in roles],
        "classes": [],
        "source": {"model": ANOTHER_TOOL},
        "golden": {"inputs": samples, "outputs": []},
    }


def completed(spec: TensorSpec, size: tuple[int, int] | None, path: Path, like: TensorSpec | None = None) -> TensorSpec:
    """A tensor with its order of axes guessed and no axis left open.

    Args:
        spec: as the file says it.
        size: of an image.
        path: the file, for messages.
        like: a tensor whose order of axes it shares, where it has four.

    Raises:
        RequestError: an axis is open.
    """
    layout: Layout = layout_of(spec.shape) if like is None else like.layout if len(spec.shape) == 4 else "other"
    shape = list(spec.shape)
    if shape and shape[0] == -1:
        shape[0] = 1
    if size is not None and layout in ("NCHW", "NHWC"):
        for axis, length in zip("HW", size):
            shape[layout.index(axis)] = length
    if -1 in shape:
        raise RequestError(
            f"{path.name}: the size of {spec.name} is open ({shape_text(spec.shape)}); export it with a fixed one"
        )
    is_image = like is None and layout != "other"
    unit = (0.0, 1.0) if is_image and spec.dtype.startswith("float") else spec.value_range
    role = "image" if is_image else "scores" if like else spec.role
    return dataclasses.replace(spec, shape=tuple(shape), layout=layout, role=role, value_range=unit)


def layout_of(shape: tuple[int, ...]) -> Layout:
    """The order of an image's axes: where the 1, 3 or 4 channels are."""
    if len(shape) != 4:
        return "other"
    return "NCHW" if shape[1] in (1, 3, 4) else "NHWC" if shape[3] in (1, 3, 4) else "other"


def precision_of(session: Session) -> str:
    """``int8`` where the file has operators of quantization, or integers at its ends; else ``fp32``."""
    try:
        names = " ".join(session.operators().counts).lower()
    except NotShownError:
        names = ""
    ends = any(spec.scale is not None for spec in (*session.inputs, *session.outputs))
    return "int8" if ends or any(each in names for each in QUANTIZES) else "fp32"


# --- pictures through one ---------------------------------------------------


def open_elsewhere(path: Path, threads: int | None, runtime: str | None, said: Elsewhere) -> tuple[Artifact, Task, ImageModel]:
    """A file from elsewhere as a task runs it.

    Args:
        path: the file.
        threads: of the runtime; None: its own choice.
        runtime: its name; None: the first that opens the format.
        said: what the user says of it.

    Raises:
        RequestError: its image has no fixed size, or it gives what no task makes a picture of.
        ToolError: its runtime is missing or cannot load it.
    """
    manifest = parse_manifest(describe(path, said.size))
    artifact = Artifact(path, manifest, open_session(path, threads, runtime=runtime))
    feed, output = artifact.inputs[0], artifact.outputs[0].canonical()
    if feed.layout == "other" or len(artifact.inputs) != 1:
        raise RequestError(f"{path.name} takes {shape_text(feed.shape)}; one image is needed")

    def compute(batch: Array) -> Array:
        return artifact.run({feed.name: as_fed(batch, feed, said)})[output.name]

    task = task_of(manifest.task)
    if task.is_binary(output):
        values = compute(np.full(feed.canonical().shape, 0.5, np.float32))
        if values.min() >= 0 and values.max() <= 1:  # a sigmoid is in the file
            output = dataclasses.replace(output, role="probabilities")
    count = LABELS if output.role == "labels" else task.class_count(output)
    names = ("background", *said.class_names) if len(said.class_names) == 1 and count == 2 else said.class_names
    if names and output.role != "labels" and len(names) != count:
        raise RequestError(f"{len(names)} class names were given; {path.name} has {count} classes")
    classes = tuple(
        dataclasses.replace(each, name=names[k] if k < len(names) else each.name)
        for k, each in enumerate(numbered_classes(count))
    )
    inputs = tuple(spec.canonical() for spec in artifact.inputs)
    model = ImageModel(path.name, inputs, output, classes, None, compute)
    task.check_runs(model)
    return artifact, task, model


def as_fed(batch: Array, feed: TensorSpec, said: Elsewhere) -> Array:
    """Pictures (N, C, H, W) in [0, 1] as a file takes them."""
    if feed.dtype == "uint8" and feed.scale is None:
        pixels: Array = np.rint(batch * 255).astype(np.uint8)
        return pixels
    mean, std = (np.array(each, np.float32).reshape(1, -1, 1, 1) for each in (said.mean, said.std))
    values: Array = ((batch[:, ::-1] if said.bgr else batch) - mean) / std
    return values
