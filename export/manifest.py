"""The manifest: everything an app, a report or a suspicious expert must know of one artifact. Deterministic: no clock, no host.

It is embedded in the artifact. The copy beside it (``ARTIFACT.json``) adds what can only be known afterwards: the artifact's
size and SHA-256, the results of the checks made on it, and the whole calibration record.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from onenet import __version__
from onenet.base.arrays import Array
from onenet.base.files import sha256_of, size_of
from onenet.base.images import PREPROCESSING
from onenet.calibration.quantized import QuantizedModel
from onenet.exporters.job import Job
from onenet.exporters.judgement import Judgement
from onenet.exporters.references import OutputReference, limits_of, references
from onenet.runtimes import golden
from onenet.runtimes.seal import FIELD, OPEN
from onenet.spec import ModelSpec, TensorSpec
from onenet.targets import target_of
from onenet.tasks import task_of

SCHEMA = 1
UNVERIFIED = "not verified (--no-verify)"


def make_manifest(
    job: Job,
    layout: str,
    packages: tuple[str, ...],
    io_quantization: dict[str, tuple[float, int]],
    sample: Mapping[str, Array],
) -> dict[str, object]:
    """The embedded part of the manifest; ``sample``, an array for each input or none at all, becomes the golden input."""
    spec = job.model.spec

    def stored(tensor: TensorSpec) -> dict[str, object]:
        tensor = tensor.in_layout(layout)  # type: ignore[arg-type]  # a literal of the target's module
        if tensor.dtype in target_of(job.target).narrowed:  # of outputs: such inputs are refused
            tensor = dataclasses.replace(tensor, dtype="int32")
        if tensor.name in io_quantization:
            scale, zero_point = io_quantization[tensor.name]
            tensor = dataclasses.replace(tensor, dtype="int8", scale=scale, zero_point=zero_point)
        return dataclasses.asdict(tensor)

    record = job.quantized.record if job.quantized else None
    return {
        "schema": SCHEMA,
        FIELD: OPEN,
        "name": spec.name,
        "task": spec.task,
        "target": job.target,
        "precision": job.precision,
        "io": job.io,
        "inputs": [stored(t) for t in spec.inputs],
        "outputs": [stored(t) for t in spec.outputs],
        "classes": [dataclasses.asdict(c) for c in spec.classes],
        "threshold": spec.threshold,
        "upsampling": upsampling_of(spec),
        "ignore_index": spec.ignore_index,
        "normalisation": spec.normalisation,
        "preprocessing": PREPROCESSING,
        "source": spec.source,
        "lowering": lowering_of(job),
        "in_float": [dataclasses.asdict(each) for each in job.quantized.in_float] if job.quantized else [],
        "recipe": record.recipe.as_dict() if record else None,
        "calibration": {"id": record.id, "samples": record.samples} if record and record.samples else None,
        "tiling": job.model.tiling.as_dict() if job.model.tiling else None,
        "golden": golden_pair(job, sample),
        "tools": {"onenet": __version__, **{name: tool_version(name) for name in packages}},
    }


def upsampling_of(spec: ModelSpec) -> list[float] | None:
    """By how much an app enlarges the first output to its image, along height and width; None where it need not.

    Values are enlarged bilinearly between pixel centres before labels are taken, labels by the nearest pixel.
    """
    image, output = spec.inputs[0], spec.outputs[0]
    if image.layout != "NCHW" or len(output.shape) < 3 or output.role not in task_of(spec.task).output_roles:
        return None
    factors = [whole / have for whole, have in zip(image.shape[-2:], output.shape[-2:], strict=True)]
    return factors if factors != [1, 1] else None


def lowering_of(job: Job) -> dict[str, object] | None:
    """What was rewritten for every target, and what for this one."""
    if job.model.lowering is None:
        return None
    left_out = {"left_out": dataclasses.asdict(job.left_out)} if job.left_out else {}
    return {**job.model.lowering.as_dict(), "target_rules": [rule.as_dict() for rule in job.arranged.rules], **left_out}


def golden_pair(job: Job, sample: Mapping[str, Array]) -> dict[str, object]:
    """Golden input, and the reference's sampled output: the float model's, or the quantized program's, with its limits."""
    spec = job.model.spec
    ranges = job.quantized.input_ranges if job.quantized else (None,) * len(spec.inputs)
    inputs = [
        golden.make_input(tensor, sample.get(tensor.name), place, calibrated)
        for place, (tensor, calibrated) in enumerate(zip(spec.inputs, ranges, strict=True))
    ]
    feeds = {t.name: golden.read_input(e, t) for e, t in zip(inputs, spec.inputs, strict=True)}
    outputs = [golden_output(job, t, made) for t, made in zip(spec.outputs, references(job, feeds), strict=True)]
    return {"inputs": inputs, "outputs": outputs}


def golden_output(job: Job, spec: TensorSpec, made: OutputReference) -> golden.Entry:
    """The golden entry of one output, with what it may differ by."""
    entry = golden.make_output(spec.name, made.reference, spec.has_channels, made.scale)

    def pick(values: Array) -> Array:
        return golden.sample_like(entry, values, spec.has_channels)

    if job.precision == "int8":
        entry = golden.with_floats(entry, pick(made.floats))
    return entry | {"limits": limits_of(job, spec, made, pick).as_dict()}


def tool_version(package: str) -> str:
    """The version of an installed package, or "not installed"."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def to_json(manifest: dict[str, object]) -> str:
    """The manifest on one line with sorted keys, so that the same content gives the same bytes."""
    return json.dumps(manifest, sort_keys=True, separators=(",", ":"))


def describe(
    manifest: dict[str, object], path: Path, judgement: Judgement | None, quantized: QuantizedModel | None
) -> dict[str, object]:
    """The manifest beside an artifact: the embedded one, and what can only be known of the finished file."""
    record = quantized.record if quantized else None
    checks = judgement.verification.checks if judgement and judgement.verification else ()
    return {
        **manifest,
        "artifact": {"file": path.name, "bytes": size_of(path), "sha256": sha256_of(path)},
        "checks": [dataclasses.asdict(c) for c in checks] if checks else UNVERIFIED,
        "quality": judgement.quality.as_dict() if judgement and judgement.quality else None,
        "calibration_record": record.as_dict() if record and record.samples else None,
    }
