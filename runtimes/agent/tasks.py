"""What a worker does: one task with one artifact, then it is gone."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from statistics import median

from onenet.base.arrays import Array
from onenet.base.host import peak_bytes, version_of
from onenet.base.text import one_line
from onenet.errors import NotShownError, RequestError
from onenet.runtimes import RUNTIMES, parity
from onenet.runtimes.agent import latency
from onenet.runtimes.agent.content import parity_of
from onenet.runtimes.agent.messages import Checked, Profiled, Sampled, Sustained, Task
from onenet.runtimes.agent.plan import Plan
from onenet.runtimes.agent.records import Interpreter, OperatorList, Record, Round, TimedOperator
from onenet.runtimes.artifact import Artifact, open_artifact
from onenet.runtimes.tensors import dequantize, to_canonical

PROFILE_RUNS = 20
TIMINGS = 5
"""How often what an app does before and after an inference is timed."""


def work(task: Task) -> dict[str, object]:
    """Do a task; its answer as JSON holds it.

    Raises:
        OneNetError: it cannot be done.
    """
    offer_to_be_killed()
    if task.name == "try":
        return {"version": loadable_version(str(task.runtime))}
    return TASKS[task.name](task).as_dict()


def offer_to_be_killed() -> None:
    """Where memory runs out, the system ends this process and not the one that reports it."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def loadable_version(name: str) -> str | None:
    """The version of a runtime that can be imported here; None where it cannot."""
    return version_of(name) if RUNTIMES.get(name, "runtime").is_usable() else None


def check(task: Task) -> Checked:
    """Compute the golden pair, and look what the file is made of."""
    verification = parity.verify_here(Path(task.artifact), task.threads, task.runtime)
    runtime, operators = verification.runtime, OperatorList()
    with suppress(NotShownError):
        shown = open_task(task).session.operators()
        operators = OperatorList(dict(shown.counts), shown.partitions)
    interpreter = Interpreter(runtime.name, runtime.version, runtime.kernels)
    return Checked(parity_of(verification.checks, "device"), interpreter, operators)


def open_task(task: Task, threads: int | None = None) -> Artifact:
    """The task's artifact in the task's runtime."""
    return open_artifact(Path(task.artifact), threads, runtime=task.runtime)


def sample_round(task: Task) -> Sampled:
    """Load, run once, warm up, and take samples."""
    bind_to_cores(task.plan)
    baseline = peak_bytes()
    load_ms, artifact = latency.timed(lambda: open_task(task, task.threads))
    feeds, stored = golden_feeds(artifact)
    first_ms, results = latency.timed(lambda: artifact.session.run(stored))

    def run() -> None:
        artifact.session.run(stored)

    warmup_runs = latency.warm_up(run, task.plan)
    samples = [latency.figure(each) for each in latency.sample(run, task.plan)]
    measured = Round(load_ms, first_ms, warmup_runs, samples, peak_bytes())
    if not task.first:
        return Sampled(measured)
    return Sampled(measured, baseline, prepare_ms(artifact, feeds), finish_ms(artifact, results))


def prepare_ms(artifact: Artifact, feeds: Mapping[str, Array]) -> float:
    """What an app computes before an inference: pixels in [0, 1] to stored inputs."""
    return typical_ms(lambda: artifact.stored(feeds))


def finish_ms(artifact: Artifact, results: Mapping[str, Array]) -> float:
    """What an app computes after one: stored outputs to labels."""

    def finish() -> None:
        for spec in artifact.outputs:
            value = to_canonical(dequantize(results[spec.name], spec), spec)
            if spec.role in ("logits", "probabilities"):
                value.argmax(1)

    return typical_ms(finish)


def typical_ms(run: Callable[[], object]) -> float:
    """The median of a few runs."""
    return latency.figure(median(latency.milliseconds(run) for _ in range(TIMINGS)))


def sustain(task: Task) -> Sustained:
    """Run without pause for the plan's minutes."""
    bind_to_cores(task.plan)
    artifact = open_task(task, task.threads)
    _, stored = golden_feeds(artifact)
    artifact.session.run(stored)
    return Sustained(latency.sustain(lambda: artifact.session.run(stored), task.plan.sustained_minutes))


def profile(task: Task) -> Profiled:
    """Time every operator, where the runtime can."""
    bind_to_cores(task.plan)
    artifact = open_task(task, task.plan.threads[0] if task.plan.threads else None)
    _, stored = golden_feeds(artifact)
    try:
        times = artifact.session.profile(stored, PROFILE_RUNS)
    except NotShownError:
        return Profiled(None)
    return Profiled([TimedOperator(each.name, each.type, each.ms) for each in times])


TASKS: dict[str, Callable[[Task], Record]] = {
    "check": check,
    "round": sample_round,
    "sustain": sustain,
    "profile": profile,
}


def golden_feeds(artifact: Artifact) -> tuple[dict[str, Array], dict[str, Array]]:
    """The golden input as canonical tensors, and as the artifact stores it."""
    feeds, _ = parity.read_golden(artifact)
    return feeds, artifact.stored(feeds)


def bind_to_cores(plan: Plan) -> None:
    """Stay on the cores that were asked for.

    Raises:
        RequestError: the system has no such cores, or cannot bind.
    """
    if not plan.cores:
        return
    try:
        os.sched_setaffinity(0, plan.cores)
    except (AttributeError, OSError) as error:
        cores = ", ".join(map(str, plan.cores))
        raise RequestError(f"cores {cores} cannot be bound to here ({one_line(error)}); leave --cores out") from error
