"""Is a fresh artifact right, and how good is it: its checks, and its outputs beside the float model's on samples."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onenet.base.arrays import Array, next_prime
from onenet.base.quiet import quiet
from onenet.base.text import one_line
from onenet.calibration.outputs import Feeds, float_outputs, outputs_of
from onenet.calibration.samples import LabelledImages, Samples
from onenet.errors import CheckError, OneNetError, RequestError
from onenet.exporters.advice import advise, advise_on_speed
from onenet.exporters.alone import wrong_layer
from onenet.exporters.job import Job
from onenet.exporters.layers import first_bad_layer
from onenet.exporters.references import OutputReference, limits_of, references_on
from onenet.lowering.threads import one_thread
from onenet.runtimes import parity
from onenet.runtimes.artifact import Artifact, open_artifact
from onenet.runtimes.golden import as_pixels
from onenet.runtimes.quality import Quality, quality
from onenet.runtimes.values import Known, int8_limits, labels_kept
from onenet.runtimes.values import judge as judge_values
from onenet.spec import INSIDE, ModelSpec, TensorSpec
from onenet.tasks import task_of

REFUSED = "Nothing was written; --no-verify writes it all the same"
POOR = 0.5
"""A main figure below it is less than anybody ships."""
PICTURES = 2
"""Batches of evaluation samples whose values are checked; quality is measured on all."""
MOST_VALUES = 1 << 20
"""Values of one output that are looked at there."""


@dataclass(frozen=True)
class Judgement:
    """What the checks of an artifact found."""

    verification: parity.Verification | None
    """None where it was not asked for."""
    quality: Quality | None
    """On images; None without any, or where the artifact cannot run here."""
    cautions: tuple[str, ...] = ()
    """What should be known of an artifact that is right: a line each, with what to do."""


def judge(job: Job, path: Path, evaluation: Samples | LabelledImages | None) -> Judgement:
    """Check an artifact, then measure it on the evaluation samples.

    Raises:
        CheckError: a check failed; says which, and of values the first layer that differs.
    """
    with quiet(), one_thread():
        verification = parity.verify_here(path)
    refuse_failed(job, path, verification)
    with quiet():
        artifact = open_artifact(path)
        pictures = check_pictures(job, artifact, evaluation)
        measured, agreement = measure(job, artifact, evaluation)
    layers = check_layers(job, path) if all(check.passed is not False for check in (*pictures, *agreement)) else []
    verification = dataclasses.replace(verification, checks=(*verification.checks, *pictures, *agreement, *layers))
    refuse_failed(job, path, verification)
    return Judgement(verification, measured, (*cautions_of(job, artifact, evaluation), *poor(job, measured)))


@one_thread()
def check_layers(job: Job, path: Path) -> list[parity.Check]:
    """int8: whether one layer is wrong where the outputs look right, because little of them comes through it."""
    if job.precision != "int8":
        return []
    try:
        count, wrong = wrong_layer(job, path)
    except Exception as error:  # a file that is right so far is not lost to what only looks closer
        return [parity.Check("layers", None, f"not looked at: {one_line(error)}")]
    return [parity.Check("layers", not wrong, wrong or f"{count} layers, each on its own inputs")]


def measure_alone(job: Job, path: Path, evaluation: Samples | LabelledImages) -> Judgement:
    """Quality of an artifact that is not checked; what keeps it from being measured is a caution."""
    try:
        with quiet():
            artifact = open_artifact(path)
            measured, _ = measure(job, artifact, evaluation)
    except OneNetError as error:
        return Judgement(None, None, (f"{job.file_name} could not be measured: {error}",))
    return Judgement(None, measured, (*cautions_of(job, artifact, evaluation), *poor(job, measured)))


def cautions_of(job: Job, artifact: Artifact, evaluation: Samples | LabelledImages | None) -> tuple[str, ...]:
    """Whether int8 is good enough, on a few evaluation samples or, without any, on the golden input; and fast enough."""
    if job.precision != "int8":
        return ()
    with quiet():
        if evaluation is None:
            line = advise(job, [parity.read_golden(artifact)[0]], "the golden input")
        else:
            line = advise(job, few(job, evaluation), f"{PICTURES} evaluation samples")
    return tuple(each for each in (line, advise_on_speed(job)) if each)


def poor(job: Job, measured: Quality | None) -> tuple[str, ...]:
    """A line where the float model itself scores little, and nobody said how its pixels were normalised."""
    spec, found = job.model.spec, measured.float_scores if measured else {}
    trained = spec.source.get("weights") not in ("shipped", "random") and "drawn" not in spec.source
    if not trained or "normalisation" in spec.source or spec.normalisation != INSIDE:
        return ()
    scores = [(metric, found[metric.name]) for metric in task_of(spec.task).metrics if metric.headline and metric.name in found]
    return tuple(
        f"{spec.name} in float scores {metric.title} {value:.{metric.digits}f} here, and nothing was said of its pixels: if it "
        "was trained on normalised ones, give --mean and --std, such as --mean imagenet; if on OpenCV's order, --bgr"
        for metric, value in scores
        if value < POOR
    )


def refuse_failed(job: Job, path: Path, verification: parity.Verification) -> None:
    """
    Raises:
        CheckError: a check failed; says which, and of values the first layer that differs.
    """
    if verification.passed:
        return
    failed = next(check for check in verification.checks if check.passed is False or not check.compared)
    if failed.passed is None:
        raise CheckError(f"{job.file_name} cannot be checked here: {failed.detail}. {REFUSED}")
    layer = first_bad_layer(job, path) if failed.name.startswith("values") else ""
    where = f" {layer}" if layer else ""
    raise CheckError(f"{job.file_name} failed its check of {failed.name}: {failed.detail}.{where} {REFUSED}")


def artifact_outputs(path: Path, feeds: Feeds, *, exact_int8: bool = False) -> Array | None:
    """An artifact's first output on samples, in tiles where it takes tiles; None where this machine cannot run it.

    Args:
        path: of the artifact.
        feeds: one array for each input, by its name, the samples along the first axis; images (N, C, H, W).
        exact_int8: see ``open_artifact``.
    """
    return first_outputs(open_artifact(path, exact_int8=exact_int8), feeds)


@one_thread()  # our evaluator of Core ML computes in torch, and its figures go into the manifest
def first_outputs(artifact: Artifact, feeds: Feeds) -> Array | None:
    """``artifact_outputs`` of one that is open already."""
    if not artifact.session.runs_here:
        return None
    output = artifact.outputs[0]
    inputs = [spec.canonical() for spec in artifact.inputs]
    return outputs_of(lambda batch: artifact.run(batch)[output.name], feeds, inputs, artifact.tiling)


def check_pictures(job: Job, artifact: Artifact, evaluation: Samples | LabelledImages | None) -> list[parity.Check]:
    """What the golden pair is for, on a few evaluation samples: every output, as good as what it was made from."""
    if evaluation is None or not artifact.session.runs_here:
        return []
    batches = few(job, evaluation)
    made = references_on(job, batches)

    @one_thread()
    def check(opened: Artifact) -> list[parity.Check]:
        found = [opened.run(batch) for batch in batches]
        columns = zip(job.model.spec.outputs, made, strict=True)
        return [
            check_output(job, spec, each, np.concatenate([result[spec.name] for result in found]), len(batches))
            for spec, each in columns
        ]

    checks = check(artifact)
    if any(each.passed is False for each in checks) and artifact.session.may_saturate:
        return parity.explain_saturation(artifact, checks, check)
    return checks


def few(job: Job, evaluation: Samples | LabelledImages) -> list[dict[str, Array]]:
    """Some of the samples, evenly spaced, as batches that the network takes; of images larger than its own, their middles."""
    inputs, feeds = job.model.spec.inputs, evaluation.feeds(job.model)
    batch, count = inputs[0].shape[0], len(feeds[inputs[0].name])
    places = np.linspace(0, count - 1, batch * PICTURES).round().astype(int)
    cut = {spec.name: in_8_bits(spec, middle(feeds[spec.name], spec.shape)) for spec in inputs}
    return [{name: array[some] for name, array in cut.items()} for some in np.split(places, PICTURES)]


def in_8_bits(spec: TensorSpec, array: Array) -> Array:
    """Images in [0, 1] as pictures have them, and as Core ML takes them; other inputs as they are."""
    if spec.role != "image" or not spec.dtype.startswith("float") or array.min() < 0 or array.max() > 1:
        return array
    rounded: Array = np.rint(array * 255).astype(array.dtype) / array.dtype.type(255)
    return rounded


def middle(array: Array, shape: tuple[int, ...]) -> Array:
    """The middle of each sample, of so many values along each axis behind the first."""
    starts = [(have - need) // 2 for have, need in zip(array.shape[1:], shape[1:], strict=True)]
    return array[(slice(None), *(slice(at, at + need) for at, need in zip(starts, shape[1:], strict=True)))]


def check_output(job: Job, spec: TensorSpec, made: OutputReference, found: Array, count: int) -> parity.Check:
    """One output of so many batches against what is known of it."""
    stride = next_prime(-(-found.size // MOST_VALUES) + 1)

    def pick(values: Array) -> Array:
        pixels = as_pixels(values, spec.has_channels)
        return pixels[::stride] if values.size > MOST_VALUES else pixels

    task = task_of(job.model.spec.task, job.model.spec.threshold)
    passed, detail = judge_values(task, spec, limits_of(job, spec, made, pick), made.known(pick), pick(found))
    return parity.Check(f"values of {spec.name} on {count} samples", passed, detail)


def measure(
    job: Job, artifact: Artifact, evaluation: Samples | LabelledImages | None
) -> tuple[Quality | None, list[parity.Check]]:
    """Quality on samples, and whether labels there are those of what the artifact was made from, where its task asks."""
    if evaluation is None:
        return None, []
    labelled, feeds = evaluation if isinstance(evaluation, LabelledImages) else None, evaluation.feeds(job.model)
    found = first_outputs(artifact, feeds)
    if found is None:
        return None, []
    spec = job.model.spec
    task, output, floats = task_of(spec.task, spec.threshold), spec.outputs[0], float_outputs(job.model, feeds)
    truth = truth_for(spec, labelled)
    result = quality(task, output.role, floats, found, truth, len(spec.classes))
    return result, check_labels(job, artifact, feeds, floats, found) if task.checks_labels else []


def truth_for(spec: ModelSpec, labelled: LabelledImages | None) -> Array | None:
    """The labels that outputs are scored against; None without any.

    Raises:
        RequestError: they hold a class that the model does not have.
    """
    if labelled is None:
        return None
    largest, count = int(labelled.labels.max()), len(spec.classes)
    if largest >= count:
        names = "names no classes; give --class-names" if not count else f"has {count}"
        raise RequestError(f"{labelled.samples.name} holds labels up to {largest}, and {spec.name} {names}")
    return labelled.labels


def check_labels(job: Job, artifact: Artifact, feeds: Feeds, floats: Array, found: Array) -> list[parity.Check]:
    """Whether labels are the float model's on all samples, as far as they are in what the artifact was made from."""
    task, spec = task_of(job.model.spec.task, job.model.spec.threshold), job.model.spec.outputs[0]
    limits, known = parity.asked_of(job.target, job.precision, task, spec), Known(floats, floats)
    if job.precision == "int8" and job.quantized is not None:
        scale = job.quantized.outputs[0]
        known = Known(floats, float_outputs(job.model, feeds, job.quantized.reference), step=scale and scale[0])
        limits = int8_limits(task, spec, known)

    def check(values: Array) -> list[parity.Check]:
        answers = list(labels_kept(task, spec, limits, known, values))
        if not answers:
            detail = f"{task.title} has no labels to compare in {spec.role} {floats.shape}"
            return [parity.Check("agreement", None, detail)]
        text = ", ".join(text for _, text in answers)
        return [parity.Check("agreement", all(kept for kept, _ in answers), f"{text}, of {len(floats)} images")]

    checks = check(found)
    if checks[0].passed is not False or not artifact.session.may_saturate:
        return checks
    exact = artifact_outputs(artifact.path, feeds, exact_int8=True)
    right = exact is not None and check(exact)[0].passed
    return (
        [dataclasses.replace(each, passed=None, detail=f"{each.detail}; {parity.SATURATES}") for each in checks]
        if right
        else checks
    )
