"""Which rows are dominated: another gives at least as much for at most the same cost, and one of the two is better."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

COSTS = {"ms": "ms per image", "bytes": "file, MB", "memory_bytes": "memory, MB"}
"""Key of a point -> title."""
UNITS = {"ms": 1.0, "bytes": 1e-6, "memory_bytes": 1e-6}


def points(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Every artifact that was measured, as one flat row; latency is for one image, of a denoiser in all its steps."""
    found = []
    for entry in document["models"]:
        for row in entry["rows"]:
            if row.get("ms") is not None:
                facts = {name: entry[name] for name in ("key", "model", "trained", "runs_per_image")}
                found.append({**row, **facts, "ms": row["ms"] * entry["runs_per_image"]})
    return found


def kept(rows: Sequence[dict[str, Any]], quality: str, cost: str) -> list[dict[str, Any]]:
    """The rows that no other dominates, by falling cost.

    Args:
        rows: of one quality that can be compared between all of them.
        quality: key of what shall be large.
        cost: key of what shall be small.
    """

    def beaten(row: dict[str, Any]) -> bool:
        return any(
            other[quality] >= row[quality]
            and other[cost] <= row[cost]
            and (other[quality] > row[quality] or other[cost] < row[cost])
            for other in rows
        )

    return sorted((row for row in rows if not beaten(row)), key=lambda row: -row[cost])


def on_a_front(rows: Sequence[dict[str, Any]]) -> set[int]:
    """Places of rows that are on one front at least: trained models by IoU among each other, others by SQNR, each model alone.

    SQNR is relative to a model's own outputs: it says what a precision loses, not which network is better.
    """
    chosen: set[int] = set()
    place = {id(row): number for number, row in enumerate(rows)}
    for group, quality in groups(rows):
        for cost in COSTS:
            chosen |= {place[id(row)] for row in kept(group, quality, cost)}
    return chosen


def groups(rows: Sequence[dict[str, Any]]) -> list[tuple[list[dict[str, Any]], str]]:
    """Rows that can be compared with each other, and by what."""
    trained = [row for row in rows if row["trained"] and row["iou"] is not None]
    keys = dict.fromkeys(row["key"] for row in rows if not row["trained"])
    return [(trained, "iou"), *(([row for row in rows if row["key"] == key], "sqnr_db") for key in keys)]
