"""The front as a picture, as a page, and what of it travels with the package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.front.rank import COSTS, UNITS, kept, on_a_front, points

GREY = "#c4c4c4"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#7a5c00", "#56b4e9")
"""Of the trained models, in the order of the registry."""
MARKERS = {"fp32": "o", "fp16": "s", "int8": "^", "w8": "D"}
FILLS = {"tflite": "full", "onnx": "none"}
"""Of a marker, by target."""
PLAIN = "#333333"
NAME_GAP = 0.055
"""Of the height of a panel, between two names beside it."""


def draw(document: dict[str, Any], path: Path) -> None:
    """Above, the trained models by accuracy; below, what every published network costs. 800 pixels wide."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = points(document)
    published = list(dict.fromkeys(row["model"] for row in rows if not row["trained"]))
    below = 0.5 + 0.24 * len(published) if published else 0.0
    figure, axes = pyplot.subplots(
        2 if published else 1,
        3,
        figsize=(8, 4.2 + below),
        dpi=100,
        sharey="row",
        height_ratios=[3.0, below] if published else [1.0],
        layout="constrained",
        squeeze=False,
    )
    for column, (cost, title) in enumerate(COSTS.items()):
        accuracy_panel(axes[0, column], [row for row in rows if row["trained"]], cost)
        if published:
            cost_panel(axes[1, column], rows, published, cost)
        for axis in axes[:, column]:
            axis.set_xlabel(title, fontsize=9)
            numbered(axis)
            axis.tick_params(labelsize=8)
            axis.grid(alpha=0.25, which="major")
            axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_ylabel("nucleus IoU", fontsize=9)
    names(axes[0, 2], [row for row in rows if row["trained"] and row["iou"] is not None])
    axes[0, 0].set_title("Trained on the nuclei", fontsize=10, loc="left")
    if published:
        axes[1, 0].set_title("Published width, random weights: cost only", fontsize=10, loc="left")
    figure.legend(handles=legend(rows), loc="outside lower center", ncols=8, fontsize=8, frameon=False)
    figure.savefig(path, metadata={"Software": None})
    pyplot.close(figure)


def numbered(axis: Any) -> None:
    """A logarithmic axis with plain numbers, few where it is long."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_xscale("log")
    low, high = axis.get_xlim()
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 60 * low else (1.0,)))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))


def accuracy_panel(axis: Any, rows: Sequence[dict[str, Any]], cost: str) -> None:
    """Accuracy against one cost; dominated rows are grey, a line joins the others."""
    rows = [row for row in rows if row["iou"] is not None]
    best = kept(rows, "iou", cost)
    colours = colours_of(rows)
    for row in rows:
        good = any(row is each for each in best)
        point(axis, value(row, cost), row["iou"], row, colours[row["model"]] if good else GREY, 3 if good else 2)
    if best:
        cheapest = best[::-1]  # what a cost buys, up to the next row
        costs, heights = [value(row, cost) for row in cheapest], [row["iou"] for row in cheapest]
        axis.step(costs, heights, where="post", color=PLAIN, lw=0.8, zorder=1)


def names(axis: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Beside the last panel, each trained model's name at the height of its best row, and no two on one another."""
    heights = {name: max(row["iou"] for row in rows if row["model"] == name) for name in colours_of(rows)}
    low, high = axis.get_ylim()
    lowest = high + NAME_GAP * (high - low)
    for name, height in sorted(heights.items(), key=lambda each: -each[1]):
        lowest = min(height, lowest - NAME_GAP * (high - low))
        place = dict(transform=axis.get_yaxis_transform(), va="center", clip_on=False)
        axis.text(1.03, lowest, name, color=colours_of(rows)[name], fontsize=8, **place)


def cost_panel(axis: Any, rows: Sequence[dict[str, Any]], published: Sequence[str], cost: str) -> None:
    """One line for each published network; a row is grey that another of the same network dominates in SQNR and this cost."""
    for place, name in enumerate(reversed(published)):
        own = [row for row in rows if row["model"] == name and not row["trained"]]
        best = kept(own, "sqnr_db", cost)
        for row in own:
            good = any(row is each for each in best)
            point(axis, value(row, cost), place, row, PLAIN if good else GREY, 3 if good else 2)
    axis.set_yticks(range(len(published)), list(reversed(published)), fontsize=8)
    axis.set_ylim(-0.7, len(published) - 0.3)


def point(axis: Any, x: float, y: float, row: dict[str, Any], colour: str, order: int) -> None:
    """One marker: its shape is the precision, filled or not the target."""
    style = dict(marker=MARKERS[row["precision"]], fillstyle=FILLS[row["target"]], ls="", ms=6, mew=1.2)
    axis.plot([x], [y], color=colour, zorder=order, **style)


def legend(rows: Sequence[dict[str, Any]]) -> list[Any]:
    """Shapes of precisions, fills of targets."""
    from matplotlib.lines import Line2D

    used = dict.fromkeys(row["precision"] for row in rows)
    shapes = [Line2D([], [], color=PLAIN, marker=MARKERS[name], ls="", label=name) for name in used]
    fills = [Line2D([], [], color=PLAIN, marker="o", fillstyle=fill, ls="", label=f"{name}") for name, fill in FILLS.items()]
    return [*shapes, *fills, Line2D([], [], color=GREY, marker="o", ls="", label="dominated")]


def colours_of(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Trained model -> colour."""
    return dict(zip(dict.fromkeys(row["model"] for row in rows), COLOURS, strict=False))


def value(row: dict[str, Any], cost: str) -> float:
    """A cost in the unit of its axis."""
    return float(row[cost]) * UNITS[cost]


# --- the page -------------------------------------------------------------------------------------------------------

TEXT = """# The deployment front

Written by `python -m bench.front`; do not edit. Everything is in [front.json](front.json).

![accuracy and cost of the models in the tables below, by target and precision](../front.png)

* A row is **dominated**, and grey in the picture, where another has at least its quality for at most its cost, and one
  of the two is better. There is no score that mixes them: each cost has a front of its own. **on a front** says whether
  a row is on one of the three.
* **IoU** is the nucleus class's, over all pixels of {images} validation images, of the artifact in its runtime. Only
  networks that are trained on the nuclei have one, and they are compared with each other.
* **SQNR** is an artifact against its own float model. It says what a precision costs that network, and nothing of how
  good the network is; so networks that are not trained are compared with themselves only. Their weights are random and
  scaled so that signals get through, int8 is calibrated on two images by min-max, and SQNR is that of one image; what
  they cost is what trained ones cost.
* **ms** is processor time of one image of 256x256, one thread, the least of 7 rounds in which a model's artifacts take
  turns, on {machine}.
  Other programs ran on the machine, which processor time feels less than a clock on the wall does, but it does feel
  it: differences of a fifth mean nothing here. A SegOne's is one step's{steps}.
* **memory** is what the process held at most, above what it held before the artifact was opened.
* Core ML runs on no machine that we have: its sizes and accuracy are in [accuracy.md](accuracy.md).
"""


def page(document: dict[str, Any]) -> str:
    """The page with both tables."""
    rows = points(document)
    good = on_a_front(rows)
    images = max((entry["images"] for entry in document["models"] if entry["trained"]), default=0)
    machines = dict.fromkeys(described(entry["machine"]) for entry in document["models"] if "machine" in entry)
    steps = ", times 4 in the picture" if any(entry["runs_per_image"] > 1 for entry in document["models"]) else ""
    parts = [TEXT.format(images=images, machine="; ".join(machines), steps=steps), "## Trained\n"]
    head = "| model | target | precision | IoU | SQNR, dB | MB | ms | memory, MB | on a front |"
    rule = "|---|---|---|--:|--:|--:|--:|--:|:-:|"
    for trained in (True, False):
        lines = [line(row, number in good) for number, row in enumerate(rows) if row["trained"] is trained]
        parts += [] if trained else ["\n## As published, with random weights\n"]
        parts += [head, rule, *lines] if lines else ["None was measured."]
    floats = [f"`{entry['model']}` {entry['float_iou']:.4f}" for entry in document["models"] if entry["float_iou"] is not None]
    parts += ["", f"The float models' IoU: {', '.join(floats)}.\n"] if floats else []
    reasons = [
        f"* {entry['key']}, {row['target']} {row['precision']}: {row['reason']}"
        for entry in document["models"]
        for row in entry["rows"]
        if row.get("reason")
    ]
    return "\n".join([*parts, *(["\n## Not made or not measured\n", *reasons] if reasons else []), ""])


def line(row: dict[str, Any], good: bool) -> str:
    """One row of the table."""
    quality = "–" if row["iou"] is None else f"{row['iou']:.4f}"
    each = row["ms"] / row["runs_per_image"]
    costs = f"{row['bytes'] / 1e6:.2f} | {each:.2f} | {row['memory_bytes'] / 1e6:.0f}"
    cells = f"{row['target']} | {row['precision']} | {quality} | {row['sqnr_db']:.1f} | {costs}"
    return f"| `{row['model']}` | {cells} | {'✓' if good else ''} |"


def described(machine: dict[str, Any]) -> str:
    """The machine in a few words."""
    versions = machine["own_versions"]
    flags = "with AVX-512 VNNI" if "avx512_vnni" in machine["flags"] else "without AVX-512 VNNI"
    runtimes = ", ".join(f"{name} {versions[name]}" for name in ("ai-edge-litert", "onnxruntime"))
    return f"{machine['cpu']} {flags}, {machine['cores']} cores, {runtimes}"


# --- what travels ---------------------------------------------------------------------------------------------------


def measured(document: dict[str, Any]) -> dict[str, Any]:
    """What ``onenet models --table`` shows: bytes and milliseconds of every model's artifacts, and on what machine."""
    models: dict[str, dict[str, list[float]]] = {}
    machines = []
    for entry in document["models"]:
        found = {f"{row['target']} {row['precision']}": row for row in entry["rows"] if row.get("ms") is not None}
        if found:
            name = f"{entry['model']}, width {entry['config']['width']}" if entry["trained"] else entry["key"]
            models[name] = {pair: [row["bytes"], row["ms"]] for pair, row in found.items()}
            machines.append(described(entry["machine"]))
    return {"machine": "; ".join(dict.fromkeys(machines)), "models": models}
