"""Several things timed in turn, so that what else runs on the machine hits all alike. Times are of the processor."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from onenet.runtimes import open_session

Key = TypeVar("Key")
SECONDS = 0.05
"""Of each figure, at least."""


def runner(path: Path) -> Callable[[], Any]:
    """What runs an artifact once, with one thread, on random values in its own types."""
    session, rng = open_session(path, 1), np.random.default_rng(0)
    feeds = {spec.name: rng.random(spec.shape, np.float32).astype(spec.dtype) for spec in session.inputs}
    return lambda: session.run(feeds)


def in_turn(runs: Mapping[Key, Callable[[], Any]], rounds: int) -> dict[Key, list[float]]:
    """Seconds per call of each, one figure a round."""
    found: dict[Key, list[float]] = {key: [] for key in runs}
    for _ in range(rounds):
        for key, run in runs.items():
            found[key].append(timed(run))
    return found


def timed(run: Callable[[], Any]) -> float:
    """Processor seconds per call, after one that is not counted."""
    run()
    began, count = time.process_time(), 0
    while time.process_time() - began < SECONDS:
        run()
        count += 1
    return (time.process_time() - began) / count
