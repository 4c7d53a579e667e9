"""One picture per network: a bar per row, ours highlighted, and what the machine's own matrix product would take."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.summary import is_wrong, machine_rates, measured, timing

COLOURS = {(True, "fp32"): "#1f6fb4", (True, "int8"): "#d1561a", (False, "fp32"): "#b4c8dc", (False, "int8"): "#ebc5ae"}
"""(ours, precision)."""
CLIP = 3.0
"""Bars end at this many medians, with their figure at the end: one very slow row would press all others flat."""


def draw(network: dict[str, Any], threads: int, path: Path) -> None:
    """800 pixels wide. Rows that were not measured are left out."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = measured(network["rows"], threads)
    rows.sort(key=lambda r: timing(r["seconds"]).median, reverse=True)
    if not rows:
        return
    figure, axes = pyplot.subplots(figsize=(8, 1.1 + 0.27 * len(rows)), dpi=100)
    bars(axes, rows)
    limits(axes, network, threads)
    count = "one thread" if threads == 1 else f"{threads} threads"
    axes.set_title(f"{network['name']}: ms per image, {count} (shorter is faster)", fontsize=11, loc="left", x=-0.42, pad=16)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})
    pyplot.close(figure)


def bars(axes: Any, rows: Sequence[dict[str, Any]]) -> None:
    medians = [timing(r["seconds"]).median for r in rows]
    end = min(max(medians), CLIP * statistics.median(medians))
    names = [f"{r['label']}, {r['precision']}" + (" (wrong result)" if is_wrong(r) else "") for r in rows]
    drawn = axes.barh(names, [min(m, end) for m in medians], color=[COLOURS[r["ours"], r["precision"]] for r in rows])
    texts = [f"{m:.3g}" if m < 100 else f"{m:.0f}" for m in medians]
    cut = [text + " →" if m > end else text for text, m in zip(texts, medians, strict=True)]
    axes.bar_label(drawn, cut, padding=3, fontsize=9)
    axes.set_xlim(0, 1.12 * end)
    axes.tick_params(labelsize=9)
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if row["ours"] else "normal")


def limits(axes: Any, network: dict[str, Any], threads: int) -> None:
    """Where the network's operations at the rate of the fastest matrix product end."""
    for precision, rate in machine_rates(network["rows"], threads).items():
        x = network["operations"] / rate / 1e6
        axes.axvline(x, color=COLOURS[True, precision], linestyle=":", linewidth=1.2)
        side = "right" if precision == "int8" else "left"  # the int8 limit is the lower one
        place = dict(transform=axes.get_xaxis_transform(), va="bottom", ha=side)
        axes.text(x, 1.0, f"{precision} limit", color=COLOURS[True, precision], fontsize=8, **place)
