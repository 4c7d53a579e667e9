"""How long an artifact takes: what is run, what is timed, and the figures that follow from the samples.

Timed is inference alone: from inputs in the interpreter's own types to outputs in them, one image after the other. Loading, the
first inference, and what turns pixels into the input and the output into labels are figures of their own.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from onenet.runtimes.agent.plan import MOST_SAMPLES, Plan
from onenet.runtimes.agent.records import Minute, Summary, SustainedRun

T = TypeVar("T")
Run = Callable[[], object]
"""One inference."""

RESAMPLES = 1_000
"""How often the bootstrap draws."""


def warm_up(run: Run, plan: Plan) -> int:
    """Run until caches, frequency and thread pools have settled; how often."""
    start, runs = time.perf_counter(), 0
    while runs < plan.warmup_runs or (time.perf_counter() - start < plan.warmup_seconds and runs < MOST_SAMPLES):
        run()
        runs += 1
    return runs


def sample(run: Run, plan: Plan) -> list[float]:
    """Milliseconds of each run, by a clock that does not jump."""
    start, samples = time.perf_counter(), list[float]()
    gc.collect()
    gc.disable()  # a collection is not the network's
    try:
        while len(samples) < plan.runs or (time.perf_counter() - start < plan.seconds and len(samples) < MOST_SAMPLES):
            samples.append(milliseconds(run))
    finally:
        gc.enable()
    return samples


def milliseconds(run: Run) -> float:
    """Wall-clock time of one run, in ms."""
    start = time.perf_counter_ns()
    run()
    return (time.perf_counter_ns() - start) / 1e6


def timed(make: Callable[[], T]) -> tuple[float, T]:
    """Milliseconds that something takes, and what it gives."""
    start = time.perf_counter_ns()
    result = make()
    return figure((time.perf_counter_ns() - start) / 1e6), result


def sustain(run: Run, minutes: float, minute: float = 60.0) -> SustainedRun:
    """Run without pause; percentiles of every minute, and how much slower the last whole one is than the first.

    Args:
        minute: its length in seconds.
    """
    rows, start = list[Minute](), time.perf_counter()
    end = start + minutes * minute
    while (begin := time.perf_counter()) < end:
        samples = list[float]()
        while not samples or time.perf_counter() < min(begin + minute, end):
            samples.append(milliseconds(run))
        rows.append(Minute(len(rows) + 1, len(samples), *percentiles(samples)))
    return SustainedRun(rows, drop_percent([row.p50_ms for row in rows]))


def drop_percent(medians: list[float]) -> float:
    """How much slower the last of these is than the first."""
    return round(100 * (medians[-1] / medians[0] - 1), 2) if medians and medians[0] else 0.0


def percentiles(samples: Iterable[float]) -> tuple[float, float, float]:
    """The 50th, 90th and 99th."""
    p50, p90, p99 = np.percentile(np.fromiter(samples, float), (50, 90, 99))
    return figure(p50), figure(p90), figure(p99)


def summary(rounds: list[list[float]]) -> Summary:
    """The figures of a row from the samples of its rounds, in milliseconds.

    ``spread`` is the interquartile range over the median. ``ci95_ms`` is a bootstrap interval of the median: rounds are
    drawn first and then samples of them, because samples of one process are not independent of one another.

    Raises:
        ValueError: there is no sample.
    """
    together = np.concatenate([np.asarray(each, float) for each in rounds])
    low, median, high = np.percentile(together, (25, 50, 75))
    return Summary(
        int(together.size),
        figure(together.mean()),
        *percentiles(together),
        min_ms=figure(together.min()),
        max_ms=figure(together.max()),
        spread=round(float((high - low) / median), 4) if median else 0.0,
        ci95_ms=[figure(each) for each in np.percentile(resampled_medians(rounds), (2.5, 97.5))],
    )


def resampled_medians(rounds: list[list[float]], seed: int = 0) -> NDArray[np.float64]:
    """Medians of ``RESAMPLES`` bootstrap samples, drawn in two stages: rounds, then runs of each."""
    random = np.random.default_rng(seed)
    values = [np.asarray(each, float)[:1000] for each in rounds]
    medians = np.empty(RESAMPLES)
    for i in range(RESAMPLES):
        drawn = (values[k] for k in random.integers(len(values), size=len(values)))
        medians[i] = np.median(np.concatenate([each[random.integers(each.size, size=each.size)] for each in drawn]))
    return medians


def figure(value: float) -> float:
    """Nanoseconds are below what any clock here tells apart."""
    return round(float(value), 6)
