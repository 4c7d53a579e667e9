"""What one process of a test run has made, and the others take over: two workers would train and calibrate the same twice."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import pytest
from _pytest.mark import ParameterSet
from filelock import FileLock  # which torch needs as well

T = TypeVar("T")
thorough = pytest.mark.thorough
"""Of tests that ``make test`` leaves to ``make test-all``, which runs before a change lands."""
FOLDER: Path | None = None
"""Of the test run; None outside of one, where everything is made where it is asked for."""


def made_once(name: str, make: Callable[[], T]) -> T:
    """``make()``, pickled in the run's folder under ``name`` by whoever asks first."""
    if FOLDER is None:
        return make()
    kept = FOLDER / f"{name}.pickle"
    with FileLock(f"{kept}.lock"):
        if not kept.exists():
            kept.write_bytes(pickle.dumps(make()))
        found: T = pickle.loads(kept.read_bytes())
    return found


def few(cases: Iterable[object], every: int) -> list[ParameterSet]:
    """Parameters of a test, all but each ``every``-th ``thorough``: enough of a kind to see that none is wrong altogether."""
    rows = [case if isinstance(case, tuple) else (case,) for case in cases]
    return [pytest.param(*row, marks=() if place % every == 0 else thorough) for place, row in enumerate(rows)]
