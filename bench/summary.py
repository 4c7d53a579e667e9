"""From raw samples to the figures of a table."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

WRONG_DB = 40.0
"""fp32 outputs differ from PyTorch's by rounding, 80 dB and more."""


@dataclass(frozen=True)
class Timing:
    """Of all samples of a row; milliseconds."""

    median: float
    p90: float
    samples: int


def percentile(samples: Sequence[float], share: float) -> float:
    """Nearest rank: the smallest sample that at least ``share`` of all samples do not exceed."""
    ranked = sorted(samples)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]


def timing(rounds: Sequence[Sequence[float]]) -> Timing:
    """``rounds`` holds the seconds of each inference, one list per round."""
    samples = [1e3 * s for each in rounds for s in each]
    return Timing(statistics.median(samples), percentile(samples, 0.9), len(samples))


@dataclass(frozen=True)
class Ratio:
    """How many times longer a row takes than the reference."""

    value: float
    """Of the medians over everything."""
    low: float
    high: float
    """Of the medians round by round, in which both were measured within seconds of each other: how far noise goes."""


def ratio(row: Sequence[Sequence[float]], reference: Sequence[Sequence[float]]) -> Ratio:
    per_round = [statistics.median(a) / statistics.median(b) for a, b in zip(row, reference, strict=True)]
    return Ratio(timing(row).median / timing(reference).median, min(per_round), max(per_round))


def rate(operations: int, median_ms: float) -> float:
    """10⁹ operations per second."""
    return operations / median_ms / 1e6


def measured(rows: Sequence[dict[str, Any]], threads: int) -> list[dict[str, Any]]:
    """The networks' rows of a thread count that have samples; not the machine's own rate."""
    return [r for r in rows if r["threads"] == threads and r["seconds"] and not r["operations"]]


def machine_rates(rows: Sequence[dict[str, Any]], threads: int) -> dict[str, float]:
    """Precision -> 10⁹ operations per second of the fastest matrix product measured beside the rows."""
    rates: dict[str, float] = {}
    for row in rows:
        if row["threads"] == threads and row["seconds"] and row["operations"]:
            found = rate(row["operations"], timing(row["seconds"]).median)
            rates[row["precision"]] = max(found, rates.get(row["precision"], 0.0))
    return rates


def is_wrong(row: dict[str, Any]) -> bool:
    """Whether an fp32 row computes something else than PyTorch."""
    sqnr = row.get("sqnr_db")
    return row["precision"] == "fp32" and sqnr is not None and sqnr < WRONG_DB


def reference(rows: Sequence[dict[str, Any]], threads: int, precision: str) -> dict[str, Any] | None:
    """The fastest of our rows of that precision: what ratios are taken of."""
    ours = [r for r in measured(rows, threads) if r["ours"] and r["precision"] == precision]
    return min(ours, key=lambda r: timing(r["seconds"]).median, default=None)
