"""From a model in deploy form to a checked artifact under its final name."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onenet.base.arrays import Array
from onenet.base.files import publish, size_of, temporary_folder
from onenet.base.progress import Progress
from onenet.calibration.decide import quantize_weights
from onenet.calibration.quantized import QuantizedModel
from onenet.calibration.samples import LabelledImages, Samples
from onenet.errors import CheckError, RequestError
from onenet.exporters.exporter import exporter_of
from onenet.exporters.failure import explained, explained_as, tries_of
from onenet.exporters.fallback import make_or_less, run_converter
from onenet.exporters.job import Job
from onenet.exporters.judgement import Judgement, judge, measure_alone
from onenet.exporters.manifest import describe, make_manifest, to_json
from onenet.exporters.results import ExportedArtifact, size_text
from onenet.lowering import lower
from onenet.lowering.driver import RULES
from onenet.lowering.threads import one_thread
from onenet.model import Model
from onenet.runtimes.artifact import sidecar_of
from onenet.runtimes.seal import FIELD, seal
from onenet.targets import check_pair, target_of

BITS = {"fp32": 32, "fp16": 16, "int8": 8, "w8": 8}
"""Precision -> bits of a weight."""


def export(
    model: Model | QuantizedModel,
    *,
    target: str = "tflite",
    precision: str | None = None,
    io: str = "float",
    out: Path | str = "build",
    evaluation: Samples | LabelledImages | None = None,
    verify: bool = True,
    measured: bool = True,
    winograd: bool = True,
    max_size: int | None = None,
    progress: Progress | None = None,
) -> ExportedArtifact:
    """Write one artifact with its manifest, check it, and only then give it its final name.

    Args:
        model: what ``lower`` or, for int8, ``calibrate`` returned. A model that is not lowered yet is lowered first.
        target: ``tflite``, ``onnx`` or ``coreml``.
        precision: ``fp32``, ``fp16``, ``int8`` or ``w8`` (int8 weights only); unless given, int8 for a calibrated model and
            fp32 otherwise. int8 needs a calibrated model, w8 does not.
        io: ``float``, or ``int8`` for integer inputs and outputs.
        out: folder; made if it does not exist. An artifact of the same name in it is replaced only by a checked one.
        evaluation: images to compare with the float model on (and masks to score both against).
        verify: run the checks; without them the manifest says so.
        measured: without the checks, compare with the float model on ``evaluation`` all the same.
        winograd: in fp32 TFLite and ONNX, compute wide 3x3 convolutions by Winograd's method: faster, and the file is larger.
        max_size: bytes that the artifact may take. Rewrites that make it larger are left out where it takes more.
        progress: is warned where a rule is left out, whose form cannot be converted or is not right; without it, Python's
            warnings.

    Raises:
        RequestError: an impossible combination, or an output folder that cannot be written.
        CheckError: the artifact failed a check, or its smallest form is larger than asked; nothing was written.
        ConversionError: the converter failed, or the file cannot be run here; names the operator and the layer where they are
            known. Nothing was written.
        ToolError: a converter is missing, or the disk is full; nothing was written.
    """
    precision = precision or ("int8" if isinstance(model, QuantizedModel) else "fp32")
    check_pair(target, precision, io)
    with explained_as(f"preparing {model.spec.name} for {target} {precision}", *tries_of(target, precision)):
        job = make_job(model, target, precision, io, winograd)
    check_inputs(job)
    return written(job, Path(out), evaluation, verify, measured, max_size, progress or Progress())


def written(
    job: Job,
    out: Path,
    evaluation: Samples | LabelledImages | None,
    verify: bool,
    measured: bool,
    max_size: int | None,
    progress: Progress,
) -> ExportedArtifact:
    """A job's artifact, checked, in its folder. Arguments and errors as in ``export``."""
    start = time.monotonic()
    with temporary_folder(out) as folder:
        path, sample = folder / job.file_name, first_sample(job, evaluation)

        def make_checked(each: Job) -> tuple[dict[str, object], Judgement | None]:
            manifest = make(each, path, sample)
            with explained(each, "checking", path):
                if verify:
                    return manifest, judge(each, path, evaluation)
                return manifest, measure_alone(each, path, evaluation) if measured and evaluation else None

        manifest, judgement = make_or_less(job, path, make_checked, progress)
        described = describe(manifest, path, judgement, job.quantized)
        size = size_of(path)
        costly = costly_rules(job, described, size, max_size)
        if not costly:
            publish_both(path, described, out)
    if costly:
        progress.warn(f"{job.file_name} is made without {', '.join(costly)}: it takes {size_text(size)}")
        direct = dataclasses.replace(job, winograd=False)
        return written(direct, out, evaluation, verify, measured, max_size, progress)
    seconds = time.monotonic() - start
    found = judgement or Judgement(None, None)
    path = out / job.file_name
    return ExportedArtifact(path, described, size, seconds, found.verification, found.quality, cautions=found.cautions)


def check_inputs(job: Job) -> None:
    """
    Raises:
        RequestError: an input has a type that the target would change.
    """
    card = target_of(job.target)
    for tensor in job.model.spec.inputs:
        if tensor.dtype in card.narrowed:
            raise RequestError(
                f"input {tensor.name} is {tensor.dtype}, which {card.title} cannot take; give it int32 in the model's spec"
            )


def costly_rules(job: Job, manifest: Mapping[str, Any], size: int, max_size: int | None) -> list[str]:
    """The rules to leave out of an artifact that is too large; none where it fits.

    Raises:
        CheckError: it has no smaller form.
    """
    if max_size is None or size <= max_size:
        return []
    rules = (manifest["lowering"] or {}).get("target_rules", [])
    costly = [each["rule"] for each in rules if each["applied"] and RULES.get(each["rule"], "rule").larger]
    if costly:
        return costly
    smaller = [f"-p {each}" for each in target_of(job.target).precisions if BITS[each] < BITS[job.precision]]
    raise CheckError(
        f"{job.file_name} takes {size_text(size)}, at most {size_text(max_size)} was asked for, and there is no smaller form; "
        f"try {' or '.join(smaller) or 'a network with fewer weights'}"
    )


@one_thread()  # rewriting for the target and the golden outputs: neither may depend on the threads
def make(job: Job, path: Path, sample: dict[str, Array]) -> dict[str, object]:
    """Convert, and put the manifest inside; returns that.

    Args:
        path: of the artifact, which does not exist yet.
        sample: an array for each input, the golden input; empty where there is none.

    Raises:
        ConversionError: the converter failed.
        ToolError: it is not installed.
    """
    exporter, card = exporter_of(job.target), target_of(job.target)
    run_converter(exporter, job, path)
    with explained(job, "describing"):
        manifest = make_manifest(job, card.layout, card.packages, exporter.io_quantization(path), sample)
        exporter.embed(path, to_json(manifest))
        return {**manifest, FIELD: seal(path)}


def publish_both(path: Path, manifest: dict[str, object], out: Path) -> None:
    """Give an artifact and the manifest beside it their final names in ``out``."""
    sidecar = sidecar_of(path)
    sidecar.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    publish(path, out / path.name)
    publish(sidecar, out / sidecar.name)


def make_job(model: Model | QuantizedModel, target: str, precision: str, io: str, winograd: bool = True) -> Job:
    """What one export converts; lowers the network if needed. Raises RequestError for int8 without scales."""
    if precision == "int8" and not isinstance(model, QuantizedModel):
        raise RequestError("int8 needs scales: pass what onenet.calibrate(model, images) returns")
    network = model.model if isinstance(model, QuantizedModel) else model
    network = network if network.lowering else lower(network)
    quantized = model if isinstance(model, QuantizedModel) and precision == "int8" else None
    if precision == "w8":
        quantized = quantize_weights(network)
    return Job(network, quantized, target, precision, io, winograd)


def first_sample(job: Job, evaluation: Samples | LabelledImages | None) -> dict[str, Array]:
    """The array of each input; empty without samples."""
    feeds = evaluation.feeds(job.model) if evaluation is not None else {}
    return {name: array[0] for name, array in feeds.items() if len(array)}
