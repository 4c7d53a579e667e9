"""What an artifact is made from, run on given inputs: the float model and, for each precision, the arithmetic that it promises.

From this follow the limits of ``onenet.runtimes.values``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from onenet.base.arrays import Array
from onenet.exporters.arithmetic import Arithmetic, OtherTies, double, half, in_sequence, outputs_in
from onenet.exporters.job import Job
from onenet.lowering.proof import outputs
from onenet.lowering.threads import one_thread
from onenet.runtimes.parity import asked_of
from onenet.runtimes.values import Known, Limits, as_numbers, exact_limits, half_limits, int8_limits, power
from onenet.spec import TensorSpec
from onenet.tasks import task_of

MOST_KEPT = 8
KEPT: WeakKeyDictionary[nn.Module, dict[tuple[str, str], list[OutputReference]]] = WeakKeyDictionary()
"""Network -> precision and digest of its inputs -> what it gave, for its last ``MOST_KEPT`` inputs."""
SEEDS = (0, 1)
"""Of the other roundings that are tried of an int8 program. Each costs a run of it."""


@dataclass(frozen=True)
class OutputReference:
    """One output of what an artifact is made from, in full."""

    floats: Array
    """The float model's."""
    reference: Array
    """What the artifact is compared with: the int8 or w8 program's, or the float model's."""
    others: tuple[Array, ...] = ()
    """The int8 program's where ties were rounded another way."""
    own: Array | None = None
    """fp32 and w8: PyTorch's in float32, or that with sums in another order, where ``reference`` is float64's. fp16: a
    simulation's."""
    scale: tuple[float, int] | None = None
    """Scale and zero point of an int8 output."""

    def known(self, pick: Callable[[Array], Array]) -> Known:
        """What ``judge`` compares with, at the places that ``pick`` takes."""
        floats, reference, *others = (as_numbers(pick(each)) for each in (self.floats, self.reference, *self.others))
        return Known(floats, reference, tuple(others), self.scale and self.scale[0])


def references(job: Job, feeds: Mapping[str, Array]) -> list[OutputReference]:
    """Run what a job's artifact is made from; once for all targets.

    Args:
        job: says the precision.
        feeds: one array of the model's own size for each input, by its name.

    Returns:
        One for each output.
    """
    source = job.quantized.reference if job.quantized else job.model.module
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(feeds[spec.name]).tobytes() for spec in job.model.spec.inputs))
    known, key = KEPT.setdefault(source, {}), (job.precision, digest.hexdigest())
    if key not in known:
        while len(known) >= MOST_KEPT:
            del known[next(iter(known))]
        known[key] = run_references(job, feeds)
    return known[key]


def references_on(job: Job, batches: Sequence[Mapping[str, Array]]) -> list[OutputReference]:
    """``references`` on several batches, put together."""
    return [together(made) for made in zip(*(references(job, batch) for batch in batches), strict=True)]


def together(made: Sequence[OutputReference]) -> OutputReference:
    """One output of several batches as one."""
    first = made[0]
    others = tuple(np.concatenate(each) for each in zip(*(batch.others for batch in made), strict=True))
    own = None if first.own is None else np.concatenate([each.own for each in made if each.own is not None])
    floats, reference = (np.concatenate([getattr(each, name) for each in made]) for name in ("floats", "reference"))
    return OutputReference(floats, reference, others, own, first.scale)


@one_thread()  # golden outputs and limits do not depend on the threads
def run_references(job: Job, feeds: Mapping[str, Array]) -> list[OutputReference]:
    """``references``, computed."""
    inputs = [torch.from_numpy(np.ascontiguousarray(feeds[spec.name])) for spec in job.model.spec.inputs]
    module = job.model.module
    assert isinstance(module, GraphModule)  # it is lowered
    if job.precision == "int8" and job.quantized is not None:
        floats, reference = (arrays(outputs(each, inputs)) for each in (module, job.quantized.reference))
        others = [arrays(outputs_in(OtherTies(seed), job.quantized.reference, inputs)) for seed in SEEDS]
        columns = zip(floats, reference, zip(*others, strict=True), job.quantized.outputs, strict=True)
        return [OutputReference(f, r, other, scale=scale) for f, r, other, scale in columns]
    source = job.quantized.reference if job.quantized else module
    single = arrays(outputs(source, inputs))
    exact = attempt(double, source, inputs) or single
    if job.precision == "fp16":
        own = attempt(half, source, inputs)
    else:
        other = attempt(in_sequence, source, inputs) or single
        own = [farther(*each) for each in zip(exact, single, other, strict=True)]
    return [OutputReference(each, each, own=own[place] if own else None) for place, each in enumerate(exact)]


def farther(exact: Array, one: Array, other: Array) -> Array:
    """Which of two is farther from the exact values."""
    return max(one, other, key=lambda each: power(as_numbers(each) - as_numbers(exact)))


def attempt(arithmetic: Arithmetic, module: GraphModule, inputs: Sequence[Tensor]) -> list[Array] | None:
    """A module's outputs in another arithmetic; None where one of its operators has none such."""
    try:
        return arrays(outputs_in(arithmetic, module, inputs))
    except (RuntimeError, TypeError):  # PyTorch's words for it, NotImplementedError among them
        return None


def arrays(values: Sequence[Tensor]) -> list[Array]:
    """Tensors as numpy has them; float64 becomes float32, which is what artifacts give."""
    values = [value.detach() for value in values]  # a constant that is an output has a gradient
    return [value.float().numpy() if value.dtype == torch.float64 else value.numpy() for value in values]


def limits_of(job: Job, spec: TensorSpec, made: OutputReference, pick: Callable[[Array], Array]) -> Limits:
    """What an output of a job's artifact may differ by, at the places that ``pick`` takes."""
    task = task_of(job.model.spec.task, job.model.spec.threshold)
    if job.precision == "int8":
        return int8_limits(task, spec, made.known(pick))
    asked = asked_of(job.target, job.precision, task, spec)
    if spec.role == "labels" or made.own is None:
        return asked
    reference, own = as_numbers(pick(made.reference)), as_numbers(pick(made.own))
    if asked.sqnr_db is not None:
        return replace(asked, sqnr_db=half_limits(reference, own, asked.sqnr_db).sqnr_db)
    return replace(asked, relative=exact_limits(reference, own).relative)
