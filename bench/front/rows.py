"""One model's artifacts: made, scored on images, timed, and their memory measured by ``onenet.bench``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import onenet
from bench.context import context
from bench.timing import in_turn, runner
from onenet.base.arrays import Array
from onenet.base.metrics import confusion, iou, sqnr_db
from onenet.base.quiet import quiet
from onenet.calibration.recipe import INT8
from onenet.calibration.samples import LabelledImages, collected, default_calibration, default_evaluation
from onenet.errors import OneNetError
from onenet.exporters.steps import is_sampled, stream_steps
from onenet.model import Model
from onenet.runtimes.artifact import open_artifact
from onenet.runtimes.sampler import ESTIMATE, STEPS, Sampler, Step, prompts_in
from onenet.tasks.segmentation import labels_of
from tests.conftest import enliven

TARGETS = ("tflite", "onnx")
"""Those that run on this machine as they run elsewhere. Core ML's evaluator tells values, not times."""
SIZE = (256, 256)
PROMPT = "nuclei"
OBJECT = 1
"""The class whose IoU is the accuracy: the nucleus."""
ROUNDS = 7
"""In each, every artifact of a model is timed in turn."""
MEMORY = {"threads": [1], "rounds": 1, "runs": 1, "seconds": 0.0, "warmup_runs": 1, "warmup_seconds": 0.0, "timeout": 900.0}
"""What ``onenet.bench`` is asked for: how much a process of its own takes. Its times would need a quiet machine."""
SIMPLE = replace(INT8, estimator="min-max", bias_correction=False)
"""For a network that is not trained: it has only to have scales."""
CALIBRATED_ON = 2
"""Images for such a network."""
COMPARED_ON = 1


@dataclass(frozen=True)
class Subject:
    """A registered model as it ships, or as it was published, with random weights."""

    name: str
    trained: bool

    @property
    def key(self) -> str:
        """What its entry is called."""
        return self.name if self.trained else f"{self.name}, published"


@dataclass(frozen=True)
class Task:
    """What artifacts of one model are run on, and compared with."""

    feeds: Sequence[Mapping[str, Array]]
    """With the batch."""
    floats: Array
    """The float model's first output for them."""
    truth: LabelledImages | None
    """What accuracy is measured against; None for a network that is not trained."""


def made(subject: Subject, images: LabelledImages, precisions: Sequence[str], folder: Path) -> dict[str, Any]:
    """What is shown of a model but for its costs: its facts, and a row for each artifact, which is left in ``folder``."""
    with quiet():
        model = built(subject)
        lowered = onenet.lower(model)
        task = task_for(subject, lowered, images)
        recipe = INT8 if subject.trained else SIMPLE
        samples = calibration_of(subject, lowered)
        quantized = onenet.calibrate(lowered, samples, recipe=recipe) if "int8" in precisions else None
    rows = []
    for target in TARGETS:
        for precision in precisions:
            source = quantized if precision == "int8" else lowered
            row: dict[str, Any] = {"target": target, "precision": precision}
            try:
                with quiet():
                    artifact = onenet.export(source, target=target, precision=precision, out=folder, verify=subject.trained)
                    row |= {"file": artifact.path.name, "bytes": artifact.bytes, **scored(artifact.path, lowered, task)}
            except OneNetError as error:
                row["reason"] = str(error)
            rows.append(row)
    source = model.spec.source
    return {
        "key": subject.key,
        "model": subject.name,
        "trained": subject.trained,
        "config": source.get("config"),
        "parameters": source["parameters"],
        "runs_per_image": STEPS if is_sampled(model.spec) else 1,
        "float_iou": float_iou(lowered, task),
        "images": len(task.truth.labels) if task.truth else len(task.feeds),
        "rows": rows,
    }


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    kept = ("cpu", "flags", "cores", "virtual", "system", "python", "own_versions")
    return {name: value for name, value in context().items() if name in kept}


def built(subject: Subject) -> Model:
    """The shipped network, or the published one with weights that let a signal through."""
    if subject.trained:
        return onenet.build(subject.name, input_size=SIZE)
    model = onenet.build(subject.name, random_weights=True, input_size=SIZE)
    feeds = pretended(model, CALIBRATED_ON)
    enliven(
        model.module, *(torch.from_numpy(np.concatenate([each[spec.name] for each in feeds])) for spec in model.spec.inputs)
    )
    return model


def pretended(model: Model, count: int) -> list[dict[str, Array]]:
    """Shipped images, and numbers of a normal distribution within its range for every other input; with the batch."""
    rng, (height, width) = np.random.default_rng(0), SIZE
    pictures = onenet.load_samples(default_calibration(), height, width, limit=count).arrays
    given = []
    for picture in pictures:
        feeds = {}
        for spec in model.spec.inputs:
            low, high = spec.value_range or (-3.0, 3.0)
            noise = rng.normal(0, high / 3, spec.shape).clip(low, high).astype(np.float32)
            feeds[spec.name] = picture[None] if spec.role == "image" else noise
        given.append(feeds)
    return given


def calibration_of(subject: Subject, model: Model) -> Any:
    """Samples for int8."""
    if not subject.trained:
        return [{name: value[0] for name, value in feeds.items()} for feeds in pretended(model, CALIBRATED_ON)]
    if is_sampled(model.spec):
        return stream_steps(model, default_calibration())
    return onenet.load_samples(default_calibration(), *SIZE)


def task_for(subject: Subject, model: Model, images: LabelledImages) -> Task:
    """What the artifacts of a model are compared on."""
    names = [each.name for each in model.spec.inputs]
    if not subject.trained:
        feeds: list[Mapping[str, Array]] = list(pretended(model, COMPARED_ON))
    elif is_sampled(model.spec):
        stream = stream_steps(model, default_evaluation() / "images", COMPARED_ON)
        feeds = [{name: value[None] for name, value in sample.inputs.items()} for sample in collected("steps", stream, ())]
    else:
        feeds = [{names[0]: image[None]} for image in images.samples.arrays]
    step = in_torch(model)
    return Task(feeds, np.concatenate([step(each) for each in feeds]), images if subject.trained else None)


def in_torch(model: Model) -> Callable[[Mapping[str, Array]], Array]:
    """A model's first output, computed by PyTorch in float32."""

    def run(feeds: Mapping[str, Array]) -> Array:
        with torch.no_grad():
            found = model.module(*(torch.from_numpy(np.ascontiguousarray(feeds[each.name])) for each in model.spec.inputs))
        first = found[0] if isinstance(found, tuple | list) else found
        return np.asarray(first.numpy())

    return run


def scored(path: Path, model: Model, task: Task) -> dict[str, Any]:
    """How near an artifact is to the float model, and to the truth."""
    artifact = open_artifact(path, 1)
    name = model.spec.outputs[0].name
    found = np.concatenate([artifact.run(feeds)[name] for feeds in task.feeds])
    step = artifact.run if is_sampled(model.spec) else None
    sqnr = min(sqnr_db(task.floats, found), 199.0)
    return {"sqnr_db": round(sqnr, 1), "iou": accuracy(model, task, found, step), "reason": None}


def float_iou(model: Model, task: Task) -> float | None:
    """The float model's accuracy."""
    run = in_torch(model)
    return accuracy(model, task, task.floats, (lambda feeds: {ESTIMATE: run(feeds)}) if is_sampled(model.spec) else None)


def accuracy(model: Model, task: Task, outputs: Array, step: Step | None) -> float | None:
    """IoU of the nuclei over all pixels of the images: of a network's outputs, or of what a sampler makes of its steps."""
    if task.truth is None:
        return None
    if step is None:
        labels = labels_of(outputs, model.spec.outputs[0].role)
    else:
        sampler, text = Sampler(step, model.spec.inputs), prompts_in(model.spec.source, model.spec.name)[PROMPT]
        pictures = task.truth.samples.arrays
        labels = np.stack([sampler.masks(image[None], text)[-1][0, 0] > 0 for image in pictures]).astype(np.uint8)
    return round(float(iou(confusion(task.truth.labels, labels, 2))[OBJECT]), 4)


def timed(entry: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The same model with the latency and memory of its artifacts in ``folder``, with one thread."""
    files = {row["file"]: dict(row) for row in entry["rows"] if "file" in row}
    paths = [folder / name for name in files]
    for name, seconds in in_turn({path.name: runner(path) for path in paths}, ROUNDS).items():
        files[name]["ms"] = round(1000 * min(seconds), 3)
    measured = onenet.bench(paths, "local", plan=MEMORY, out=folder / "measurements")
    for each in measured.measurements:
        (row,) = each.rows
        files[each.artifact.file]["memory_bytes"] = (row.peak_bytes or 0) - (row.baseline_bytes or 0)
    for failure in measured.failures:
        files[failure.file]["reason"] = failure.text
    return {**entry, "machine": machine(), "rows": [files.get(row.get("file"), row) for row in entry["rows"]]}
