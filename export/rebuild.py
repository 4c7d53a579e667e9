"""From an artifact back to the network that it was made of: its manifest says which, and hashes prove it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onenet
from onenet.base.quiet import quiet
from onenet.calibration.calibrate import quantize_weights
from onenet.calibration.quantized import QuantizedModel
from onenet.calibration.record import CalibrationRecord
from onenet.errors import RequestError
from onenet.exporters.job import Job
from onenet.model import Model
from onenet.models import DEFAULT, REGISTRY
from onenet.models.build import OUTPUTS, Output, is_file_reference
from onenet.runtimes.artifact import manifest_of, read_sidecar, sidecar_of
from onenet.spec import TensorSpec


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
        model: ``path/to/file.py:factory`` where the network is nobody's registered one.
        weights: the state dict where it was not shipped.
        config: the YAML file of the official repository where there was one.
        record: the calibration record where it does not lie beside the artifact.

    Raises:
        RequestError: the network or its calibration cannot be had, or are others than the artifact's; says what to give.
        CheckError: the artifact's manifest is missing or damaged.
    """
    manifest = manifest_of(path)
    with quiet():
        lowered = onenet.lower(tiled(manifest, build_again(manifest, path, model, weights, config)))
        quantized = quantize_again(manifest, path, lowered, record)
    rules = (manifest.get("lowering") or {}).get("target_rules", [])
    winograd = any(rule["rule"] == "winograd" for rule in rules)
    return Job(lowered, quantized, manifest["target"], manifest["precision"], manifest.get("io", "float"), winograd)


def build_again(manifest: dict[str, Any], path: Path, model: str | None, weights: Path | None, config: Path | None) -> Model:
    source = manifest.get("source") or {}
    name = str(model or (DEFAULT if config else source.get("model")))  # a configuration takes the place of any name
    role = manifest["outputs"][0].get("role")
    output: Output = role if role in OUTPUTS else "logits"
    wanted = what_is_missing(source, name, weights)
    if wanted:
        raise RequestError(f"{path.name} was made of {source.get('model')} with weights {source.get('weights')}; give {wanted}")
    untrained = source.get("weights") == "random" and weights is None
    shape = shape_options(source) if untrained and config is None else {}
    size = image_size(manifest)
    built = onenet.build(
        name, weights=weights, config=config, input_size=size, output=output, random_weights=untrained, **shape
    )
    expected, found = source.get("weights_sha256"), built.spec.source.get("weights_sha256")
    if expected != found:
        raise RequestError(f"{path.name} holds the weights {expected!s:.12}, {name} has {found!s:.12}; give the artifact's own")
    return built


def what_is_missing(source: dict[str, Any], name: str, weights: Path | None) -> str:
    """What the caller must give for a network that its manifest only names; empty where nothing is missing."""
    if name not in REGISTRY and not is_file_reference(name):
        return "--model FILE.py:FACTORY, or --config FILE of the official repository"
    itself = ("shipped", "random", "from the factory", None)
    return "--weights FILE" if weights is None and source.get("weights") not in itself else ""


def shape_options(source: dict[str, Any]) -> dict[str, Any]:
    """The shape of a network that no weights tell."""
    shape = source["config"] if isinstance(source.get("config"), dict) else {}
    kernel = shape.get("kernel")
    return dict(
        width=shape.get("width"), classes=shape.get("classes"), kernel=kernel, spatial=False if kernel is None else None
    )


def image_size(manifest: dict[str, Any]) -> tuple[int, int] | None:
    """Height and width of the images that the model was made for; None where its input is none."""
    whole = (manifest.get("tiling") or {}).get("image_size")
    return (whole[0], whole[1]) if whole else input_size(manifest)


def input_size(manifest: dict[str, Any]) -> tuple[int, int] | None:
    image = TensorSpec.from_dict(manifest["inputs"][0]).canonical()
    return (image.shape[2], image.shape[3]) if image.layout == "NCHW" else None


def tiled(manifest: dict[str, Any], model: Model) -> Model:
    tiling, size = manifest.get("tiling") or {}, input_size(manifest)
    if not tiling.get("image_size") or size is None:
        return model
    return onenet.tile(model, size[1] if tiling["halo"][0] is None else size[0])  # an axis without a halo is never cut


def quantize_again(manifest: dict[str, Any], path: Path, model: Model, record: Path | None) -> QuantizedModel | None:
    if manifest["precision"] == "w8":
        return quantize_weights(model)
    if manifest["precision"] != "int8":
        return None
    known = CalibrationRecord.load(record) if record else record_beside(path)
    expected = (manifest.get("calibration") or {}).get("id")
    if known.id != expected:
        raise RequestError(f"{path.name} was calibrated as {expected}, the record is {known.id}; give the artifact's own")
    return onenet.calibrate(model, known)


def record_beside(path: Path) -> CalibrationRecord:
    content = (read_sidecar(path) or {}).get("calibration_record")
    if content is None:
        raise RequestError(
            f"the calibration of {path.name} is in {sidecar_of(path).name}: put that beside it, or give --calibration"
        )
    try:
        return CalibrationRecord.from_dict(content)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RequestError) as error:
        raise RequestError(f"the calibration record in {sidecar_of(path).name} is damaged; export it again") from error
