"""From an artifact back to the network that it was made of: its manifest says which, and hashes prove it.

A manifest is somebody else's word. From it only the models of the registry are built: it never says which file is read or
which code is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from onenet.base.data import is_whole
from onenet.base.quiet import quiet
from onenet.calibration.calibrate import calibrate
from onenet.calibration.decide import quantize_weights
from onenet.calibration.quantized import QuantizedModel
from onenet.calibration.record import CalibrationRecord
from onenet.errors import CheckError, RequestError
from onenet.exporters.fallback import without
from onenet.exporters.job import Job
from onenet.lowering import lower
from onenet.lowering.tiling import tile
from onenet.model import Model
from onenet.models import DEFAULT, REGISTRY
from onenet.models.build import build
from onenet.models.facts import Facts
from onenet.models.output import OUTPUTS, Output
from onenet.models.sources import OF_LIBRARY, OWN
from onenet.runtimes.artifact import manifest_of, read_sidecar, sidecar_of
from onenet.runtimes.manifest import Manifest

LARGEST = 1 << 14
"""Of a network's width, classes or kernel: what a manifest names beyond it would only fill the memory."""


class Shape(TypedDict, total=False):
    """What ``build`` takes of a network's shape; nothing where its weights tell."""

    width: int | None
    classes: int | None
    kernel: int | None
    spatial: bool | None


def rebuild(
    path: Path,
    *,
    model: str | None = None,
    weights: Path | None = None,
    config: Path | None = None,
    record: Path | None = None,
) -> Job:
    """The job that made an artifact.

    Args:
        path: the artifact. What its manifest names need not be given.
        model: ``path/to/file.py:factory`` where the network is none of the registry's; that file's code is run.
        weights: the state dict where it was not shipped.
        config: the YAML file of the official repository where there was one.
        record: the calibration record where it does not lie beside the artifact.

    Raises:
        RequestError: the network or its calibration cannot be had, or are others than the artifact's; says what to give.
        CheckError: the artifact's manifest is missing or damaged.
    """
    manifest = manifest_of(path)
    with quiet():
        lowered = lower(tiled(manifest, build_again(manifest, path, model, weights, config)))
        quantized = quantize_again(manifest, path, lowered, record)
        winograd = "winograd" in (*manifest.target_rules, *manifest.left_out)
        job = Job(lowered, quantized, manifest.target, manifest.precision, manifest.io, winograd)
        return without(job, manifest.left_out, manifest.left_out_reason) if manifest.left_out else job


def build_again(manifest: Manifest, path: Path, model: str | None, weights: Path | None, config: Path | None) -> Model:
    """The float model of a manifest. Raises RequestError where its weights are not at hand or are other ones."""
    source = manifest.source
    name = model or (DEFAULT if config else named_model(source, path))  # a configuration takes the place of any name
    role = manifest.outputs[0].role
    output: Output = role if role in OUTPUTS else "logits"
    held = source.get("weights")
    comes_along = held in ("shipped", "random", OWN, None) or str(held).startswith(OF_LIBRARY)
    if weights is None and not comes_along:
        raise RequestError(f"{made_of(source, path)}; give --weights FILE")
    untrained = source.get("weights") == "random" and weights is None
    shape: Shape = shape_options(source, path) if untrained and config is None else {}
    size = image_size(manifest)
    facts = facts_of(source, path)
    built = build(
        name, weights=weights, config=config, input_size=size, output=output, random_weights=untrained, facts=facts, **shape
    )
    expected, actual = source.get("weights_sha256"), built.spec.source.get("weights_sha256")
    if expected != actual:
        raise RequestError(
            f"{path.name} holds the weights {expected!s:.12}, {name} has {actual!s:.12}; give the artifact's own"
        )
    return built


def facts_of(source: Mapping[str, object], path: Path) -> Facts:
    """What was said of the network when it was exported.

    Raises:
        CheckError: the manifest holds something else.
    """
    said = source.get("facts") or {}
    try:
        if not isinstance(said, dict) or any(isinstance(said.get(name), str) for name in ("class_names", "palette")):
            raise RequestError("what it says of the network is no list of facts")  # a text could name a file here
        return Facts.read(said, f"the manifest of {path.name}")
    except RequestError as error:
        raise CheckError(f"the manifest of {path.name} is damaged: {error}") from error


def named_model(source: Mapping[str, object], path: Path) -> str:
    """The model of the registry that a manifest names.

    Raises:
        RequestError: it names another one. Whatever it names is not looked for: it could be a file inside the artifact.
    """
    name = source.get("model")
    if isinstance(name, str) and name in REGISTRY:
        return name
    raise RequestError(
        f"{made_of(source, path)}, and nothing but our own models is built from what an artifact names; "
        "give --model FILE.py:FACTORY, or --config FILE of the official repository"
    )


def made_of(source: Mapping[str, object], path: Path) -> str:
    """The part of an error text that says which model and weights an artifact was made of."""
    return f"{path.name} was made of {source.get('model')!a:.300} with weights {source.get('weights')!a:.100}"


def shape_options(source: Mapping[str, object], path: Path) -> Shape:
    """The shape of a network that no weights tell.

    Raises:
        CheckError: it is none, or that of a network larger than any is.
    """
    config = source.get("config")
    shape: dict[str, object] = config if isinstance(config, dict) else {}
    numbers = {name: shape.get(name) for name in ("width", "classes", "kernel")}
    wrong = [f"{name} {value!a:.100}" for name, value in numbers.items() if value is not None and not is_size(value)]
    if wrong:
        raise CheckError(f"the manifest of {path.name} is damaged: its network has {wrong[0]}; export the artifact again")
    width, classes, kernel = (value if isinstance(value, int) else None for value in numbers.values())
    return Shape(width=width, classes=classes, kernel=kernel, spatial=False if kernel is None else None)


def is_size(value: object) -> bool:
    """Whether a manifest's value is an int from 1 to LARGEST."""
    return isinstance(value, int) and is_whole(value, 1) and value <= LARGEST


def image_size(manifest: Manifest) -> tuple[int, int] | None:
    """Height and width of the images that the model was made for; None where its input is none."""
    whole = manifest.tiling and manifest.tiling.image_size
    return whole or input_size(manifest)


def input_size(manifest: Manifest) -> tuple[int, int] | None:
    """Height and width in pixels of the first input; None where it has no NCHW layout."""
    image = manifest.inputs[0].canonical()
    return (image.shape[2], image.shape[3]) if image.layout == "NCHW" else None


def tiled(manifest: Manifest, model: Model) -> Model:
    """The model cut into tiles as the manifest says; the same model where it names none."""
    tiling, size = manifest.tiling, input_size(manifest)
    if tiling is None or tiling.image_size is None or size is None:
        return model
    return tile(model, size[1] if tiling.halo[0] is None else size[0])  # an axis without a halo is never cut


def quantize_again(manifest: Manifest, path: Path, model: Model, record: Path | None) -> QuantizedModel | None:
    """The w8 or int8 model of a manifest, None for a float one. Raises RequestError for another artifact's calibration."""
    if manifest.precision == "w8":
        return quantize_weights(model)
    if manifest.precision != "int8":
        return None
    known = CalibrationRecord.load(record) if record else record_beside(path)
    expected = manifest.calibration_id
    if known.id != expected:
        raise RequestError(f"{path.name} was calibrated as {expected}, the record is {known.id}; give the artifact's own")
    return calibrate(model, known)


def record_beside(path: Path) -> CalibrationRecord:
    """The calibration in an artifact's sidecar. Raises RequestError where it is missing or damaged."""
    content = (read_sidecar(path) or {}).get("calibration_record")
    if content is None:
        raise RequestError(
            f"the calibration of {path.name} is in {sidecar_of(path).name}: put that beside it, or give --calibration"
        )
    try:
        if not isinstance(content, dict):
            raise TypeError(f"a record is an object, found {type(content).__name__}")
        return CalibrationRecord.from_dict(content)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RequestError) as error:
        raise RequestError(f"the calibration record in {sidecar_of(path).name} is damaged; export it again") from error
