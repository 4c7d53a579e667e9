"""Is a fresh artifact right, and how good is it: its checks, and its outputs beside the float model's on samples."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from onenet.base.arrays import Array
from onenet.base.quiet import quiet
from onenet.calibration.outputs import Feeds, float_outputs, outputs_of
from onenet.calibration.samples import LabelledImages, Samples
from onenet.errors import CheckError
from onenet.exporters.job import Job
from onenet.exporters.layers import first_bad_layer
from onenet.runtimes import parity
from onenet.runtimes.artifact import Artifact, open_artifact
from onenet.runtimes.quality import Quality, check_agreement, quality
from onenet.tasks import task_of


@dataclass(frozen=True)
class Judgement:
    """What the checks of an artifact found."""

    verification: parity.Verification
    quality: Quality | None
    """On images; None without any, or where the artifact cannot run here."""


def judge(job: Job, path: Path, evaluation: Samples | LabelledImages | None) -> Judgement:
    """Check an artifact, then measure it on the evaluation samples.

    Raises:
        CheckError: a check failed; says which, and of values the first layer that differs.
    """
    with quiet():
        verification = parity.verify_here(path)
    refuse_failed(job, path, verification)
    with quiet():
        measured, agreement = measure(job, path, evaluation)
    if agreement:
        verification = dataclasses.replace(verification, checks=(*verification.checks, agreement))
        refuse_failed(job, path, verification)
    return Judgement(verification, measured)


def refuse_failed(job: Job, path: Path, verification: parity.Verification) -> None:
    """
    Raises:
        CheckError: a check failed; says which, and of values the first layer that differs.
    """
    if verification.passed:
        return
    failed = next(check for check in verification.checks if check.passed is False)
    layer = first_bad_layer(job, path) if failed.name.startswith("values") else ""
    where = f" {layer}" if layer else ""
    raise CheckError(
        f"{job.file_name} failed its check of {failed.name}: {failed.detail}.{where} Nothing was written; "
        "--no-verify writes it all the same"
    )


def artifact_outputs(path: Path, feeds: Feeds, *, exact_int8: bool = False) -> Array | None:
    """An artifact's first output on samples, in tiles where it takes tiles; None where this machine cannot run it.

    Args:
        path: of the artifact.
        feeds: one array for each input, by its name, the samples along the first axis; images (N, C, H, W).
        exact_int8: see ``open_artifact``.
    """
    return first_outputs(open_artifact(path, exact_int8=exact_int8), feeds)


def first_outputs(artifact: Artifact, feeds: Feeds) -> Array | None:
    """``artifact_outputs`` of one that is open already."""
    if not artifact.session.runs_here:
        return None
    output = artifact.outputs[0]
    inputs = [spec.canonical() for spec in artifact.inputs]
    return outputs_of(lambda batch: artifact.run(batch)[output.name], feeds, inputs, artifact.tiling)


def measure(job: Job, path: Path, evaluation: Samples | LabelledImages | None) -> tuple[Quality | None, parity.Check | None]:
    """Quality on samples, and whether labels there are those of what the artifact was made from, where its task asks."""
    if evaluation is None:
        return None, None
    labelled, feeds = evaluation if isinstance(evaluation, LabelledImages) else None, evaluation.feeds(job.model)
    artifact = open_artifact(path)
    found = first_outputs(artifact, feeds)
    if found is None:
        return None, None
    spec = job.model.spec
    task, output, floats = task_of(spec.task), spec.outputs[0], float_outputs(job.model, feeds)
    truth = labelled.labels if labelled and len(spec.classes) > int(labelled.labels.max()) else None
    result = quality(task, output.role, floats, found, truth, len(spec.classes))
    return result, judge_labels(job, artifact, feeds, floats, found)


def judge_labels(job: Job, artifact: Artifact, feeds: Feeds, floats: Array, found: Array) -> parity.Check | None:
    """``check_agreement`` with what the artifact was made from: the int8 program's outputs, or the float model's."""
    spec = job.model.spec
    task, output = task_of(spec.task), spec.outputs[0]
    if not task.checks_labels:
        return None
    reference, scale = floats, None
    if job.quantized is not None:
        reference = float_outputs(job.model, feeds, job.quantized.reference)
        scale = job.quantized.outputs[0]
    tolerance, step = parity.tolerance_of(artifact.manifest), scale and scale[0]
    check = check_agreement(task, output, tolerance, reference, found, step)
    if check is None or check.passed is not False or not artifact.session.may_saturate:
        return check
    exact = artifact_outputs(artifact.path, feeds, exact_int8=True)
    again = exact is not None and check_agreement(task, output, tolerance, reference, exact, step)
    return (
        dataclasses.replace(check, passed=None, detail=f"{check.detail}; {parity.SATURATES}")
        if again and again.passed
        else check
    )
