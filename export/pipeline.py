"""From a model in deploy form to a checked artifact under its final name."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onenet.base.files import publish, sha256_of, size_of, temporary_folder
from onenet.base.quiet import quiet
from onenet.calibration.calibrate import quantize_weights
from onenet.calibration.outputs import float_outputs, outputs_of
from onenet.calibration.quantized import QuantizedModel
from onenet.calibration.samples import LabelledImages, Samples
from onenet.errors import CheckError, RequestError
from onenet.exporters.exporter import Exporter, exporter_of
from onenet.exporters.job import Job
from onenet.exporters.layers import first_bad_layer
from onenet.exporters.manifest import make_manifest, to_json
from onenet.exporters.results import ExportedArtifact
from onenet.lowering import lower
from onenet.model import Model
from onenet.runtimes import parity
from onenet.runtimes.artifact import open_artifact, sidecar_of
from onenet.runtimes.quality import Quality, check_agreement, quality
from onenet.targets import check_pair, target_of
from onenet.tasks import task_of


def export(
    model: Model | QuantizedModel,
    *,
    target: str = "tflite",
    precision: str | None = None,
    io: str = "float",
    out: Path | str = "build",
    evaluation: Samples | LabelledImages | None = None,
    verify: bool = True,
    winograd: bool = True,
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
        winograd: in fp32 TFLite and ONNX, compute wide 3x3 convolutions by Winograd's method: faster, and the file is larger.

    Raises:
        RequestError: an impossible combination, or an output folder that cannot be written.
        CheckError: the artifact failed a check; nothing was written.
        ToolError: the converter failed, or the disk is full; nothing was written.
    """
    start = time.monotonic()
    quantized = model if isinstance(model, QuantizedModel) else None
    precision = precision or ("int8" if quantized else "fp32")
    check_pair(target, precision, io)
    job = make_job(model, target, precision, io, winograd)
    exporter = exporter_of(target)
    out = Path(out)
    with temporary_folder(out) as folder:
        temporary = folder / job.file_name
        run_converter(exporter, job, temporary)
        picture = first_picture(evaluation)
        card = target_of(target)
        manifest = make_manifest(job, card.layout, card.packages, exporter.io_quantization(temporary), picture)
        exporter.embed(temporary, to_json(manifest))
        with quiet():
            verification = parity.verify_here(temporary) if verify else None
        refuse_failed(job, temporary, verification)
        quality = None
        if verification:
            with quiet():
                quality, agreement = measure(job, temporary, evaluation)
            checks = (*verification.checks, agreement) if agreement else verification.checks
            verification = dataclasses.replace(verification, checks=checks)
            refuse_failed(job, temporary, verification)
        manifest["artifact"] = {"file": job.file_name, "bytes": size_of(temporary), "sha256": sha256_of(temporary)}
        manifest["checks"] = (
            [dataclasses.asdict(c) for c in verification.checks] if verification else "not verified (--no-verify)"
        )
        manifest["quality"] = quality.as_dict() if quality else None
        record = job.quantized.record if job.quantized else None
        manifest["calibration_record"] = record.as_dict() if record and record.samples else None
        sidecar = sidecar_of(temporary)
        sidecar.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
        publish(temporary, out / job.file_name)
        publish(sidecar, out / sidecar.name)
    seconds = time.monotonic() - start
    return ExportedArtifact(out / job.file_name, manifest, manifest["artifact"]["bytes"], seconds, verification, quality)


def refuse_failed(job: Job, path: Path, verification: parity.Verification | None) -> None:
    """
    Raises:
        CheckError: a check failed; says which, and of values the first layer that differs.
    """
    if verification is None or verification.passed:
        return
    failed = next(check for check in verification.checks if check.passed is False)
    layer = first_bad_layer(job, path) if failed.name.startswith("values") else ""
    where = f" {layer}" if layer else ""
    raise CheckError(
        f"{job.file_name} failed its check of {failed.name}: {failed.detail}.{where} Nothing was written; "
        "--no-verify writes it all the same"
    )


def make_job(model: Model | QuantizedModel, target: str, precision: str, io: str, winograd: bool = True) -> Job:
    if precision == "int8" and not isinstance(model, QuantizedModel):
        raise RequestError("int8 needs scales: pass what onenet.calibrate(model, images) returns")
    plain = model.model if isinstance(model, QuantizedModel) else model
    plain = plain if plain.lowering else lower(plain)
    quantized = model if isinstance(model, QuantizedModel) and precision == "int8" else None
    if precision == "w8":
        quantized = quantize_weights(plain)
    return Job(plain, quantized, target, precision, io, winograd)  # type: ignore[arg-type]  # check_pair has looked at them


def run_converter(exporter: Exporter, job: Job, path: Path) -> None:
    from onenet.errors import OneNetError, ToolError

    try:
        exporter.convert(job, path)
    except (OneNetError, OSError, KeyboardInterrupt):
        raise
    except Exception as error:  # converters raise anything, from ValueError to MLIR's own types
        text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
        raise ToolError(f"{job.target} conversion of {job.model.spec.name} failed: {type(error).__name__}: {text}") from error


def first_picture(evaluation: Samples | LabelledImages | None) -> NDArray[np.float32] | None:
    samples = evaluation.samples if isinstance(evaluation, LabelledImages) else evaluation
    return samples.arrays[0] if samples is not None and len(samples) else None


def artifact_outputs(path: Path, images: NDArray[np.float32], *, exact_int8: bool = False) -> NDArray[Any] | None:
    """An artifact's first output on images, in tiles where it takes tiles; None where this machine cannot run it."""
    artifact = open_artifact(path, exact_int8=exact_int8)
    if not artifact.session.runs_here:
        return None
    first, output = artifact.inputs[0], artifact.outputs[0]

    def run(batch: NDArray[np.float32]) -> NDArray[Any]:
        return artifact.run({first.name: batch})[output.name]

    return outputs_of(run, images, first.canonical().shape, artifact.tiling)


def measure(job: Job, path: Path, evaluation: Samples | LabelledImages | None) -> tuple[Quality | None, parity.Check | None]:
    """Quality on images, and whether labels there are those of what the artifact was made from, where its task asks."""
    if evaluation is None or len(job.model.spec.inputs) != 1:
        return None, None
    labelled = evaluation if isinstance(evaluation, LabelledImages) else None
    images = labelled.samples.arrays if labelled else evaluation.arrays  # type: ignore[union-attr]  # it is Samples then
    found = artifact_outputs(path, images)
    if found is None:
        return None, None
    spec = job.model.spec
    task, output, floats = task_of(spec.task), spec.outputs[0], float_outputs(job.model, images)
    truth = labelled.labels if labelled and len(spec.classes) > int(labelled.labels.max()) else None
    result = quality(task, output.role, floats, found, truth, len(spec.classes))
    return result, judge_labels(job, path, images, floats, found)


def judge_labels(
    job: Job, path: Path, images: NDArray[np.float32], floats: NDArray[Any], found: NDArray[Any]
) -> parity.Check | None:
    """``check_agreement`` with what the artifact was made from: the int8 program's outputs, or the float model's."""
    spec = job.model.spec
    task, output = task_of(spec.task), spec.outputs[0]
    if not task.checks_labels:
        return None
    reference, scale = floats, None
    if job.quantized is not None:
        reference = float_outputs(job.model, images, job.quantized.reference)
        scale = job.quantized.outputs[0]
    artifact = open_artifact(path)
    tolerance, step = parity.tolerance_of(artifact.manifest), scale and scale[0]
    check = check_agreement(task, output, tolerance, reference, found, step)
    if check is None or check.passed is not False or not artifact.session.may_saturate:
        return check
    exact = artifact_outputs(path, images, exact_int8=True)
    again = exact is not None and check_agreement(task, output, tolerance, reference, exact, step)
    return (
        dataclasses.replace(check, passed=None, detail=f"{check.detail}; {parity.SATURATES}")
        if again and again.passed
        else check
    )
