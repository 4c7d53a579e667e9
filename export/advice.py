"""Is int8 good enough? A line with what to do where it keeps less of the float model than is usual.

Whether a file is right is another question (``judgement``): this one is asked of the int8 program, and refuses nothing. What
int8 may cost at most is the user's budget.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onenet.base.arrays import Array
from onenet.exporters.job import Job
from onenet.exporters.layers import first_lossy_layer
from onenet.exporters.references import OutputReference, references_on
from onenet.runtimes.golden import as_pixels
from onenet.runtimes.values import decibels, power
from onenet.spec import TensorSpec
from onenet.tasks import task_of

USUAL_DB = 20.0
"""The error is a tenth of the signal. Trained networks keep 25 to 40 dB."""
USUAL_LABELS = 0.95
MOST_NAMED = 3
"""Outputs that a line names."""
USUAL_SHARE = 0.2
"""Of the operators in float. Where int8 was slower than fp32 in docs/networks.md, a quarter or more of the file's were."""


def advise(job: Job, batches: Sequence[Mapping[str, Array]], where: str) -> str:
    """Look at every output of a job's int8 program beside the float model's.

    Args:
        batches: inputs by name.
        where: what they are, for the text.

    Returns:
        A line that names the outputs which keep less than ``USUAL_DB`` or ``USUAL_LABELS``; empty where none does.
    """
    columns = zip(job.model.spec.outputs, references_on(job, batches), strict=True)
    kept = [text for spec, made in columns if (text := kept_text(job, spec, made))]
    if not kept:
        return ""
    layer = first_lossy_layer(job, batches[0], USUAL_DB)
    from_layer = f"; it falls below {USUAL_DB:.0f} dB at layer {layer}" if layer else ""
    return (
        f"int8 of {job.model.spec.name} keeps {some(kept)} on {where}{from_layer}. Keep layers in float with --min-sqnr "
        f"{USUAL_DB:.0f} or --max-drop 1, or take -p w8"
    )


def advise_on_speed(job: Job) -> str:
    """A line where so much of an int8 program is computed in float that it may gain no time; empty where it is not.

    Each operator in float stands between one that makes floats of its input and one that makes integers of its result.
    """
    assert job.quantized is not None
    share = job.quantized.float_share
    if share < USUAL_SHARE:
        return ""
    names = dict.fromkeys(each.operator for each in job.quantized.in_float)
    return (
        f"int8 of {job.model.spec.name} computes {share:.0%} of its operators in float: {some(list(names))}. It may be "
        "no faster than fp32: measure both with onenet bench"
    )


def some(texts: Sequence[str]) -> str:
    """The first texts of a list, and how many more there are."""
    more = len(texts) - MOST_NAMED
    return ", ".join(texts[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def kept_text(job: Job, spec: TensorSpec, made: OutputReference) -> str:
    """What an output keeps, in words; empty where that is enough."""
    known = made.known(lambda values: as_pixels(values, spec.has_channels))
    task = task_of(job.model.spec.task, job.model.spec.threshold)
    if spec.role == "labels":
        kept: float | None = float((known.floats == known.reference).mean())
        return f"{kept:.1%} of {spec.name}" if kept is not None and kept < USUAL_LABELS else ""
    sqnr = decibels(power(known.floats), power(known.reference - known.floats))
    labels = task.agreement(known.floats, known.reference, spec.role)
    if sqnr >= USUAL_DB and (labels is None or labels >= USUAL_LABELS):
        return ""
    return f"{sqnr:.1f} dB of {spec.name}" + ("" if labels is None else f" and {labels:.1%} of its labels")
