"""docs/networks.md: a table that a user looks a network up in."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from statistics import median
from typing import Any

from bench.report import busy_lines
from bench.zoo.networks import NETWORKS

COLUMNS = 118
PAIRS = tuple(f"{target}-{precision}" for target in ("tflite", "onnx", "coreml") for precision in ("fp32", "int8"))
TITLES = {"tflite": "TFLite", "onnx": "ONNX", "coreml": "Core ML"}
INTRODUCTION = """# Public networks

Look your network up: what `onenet-export` makes of it, beside the usual way of each format. Written by `make zoo`; do
not edit. Every sample, and the commit of each network, is in [benchmarks/networks.json](benchmarks/networks.json).

The networks come from the configurations of public packages. Nothing is downloaded: weights are random and seeded, and
BatchNorm holds the statistics of the shipped images. Random weights are harsher on int8 than trained ones: compare the
columns with each other.
"""
READING = """## How to read it

* **dB** is signal to noise of the file's output against PyTorch in float, on an image that is no calibration image; of
  several outputs the worst. In int8 the figure in parentheses is that of the simulation, which the file is made from.
* **usual** is `litert_torch.convert` (int8: and ai-edge-quantizer), `torch.onnx.export` (int8: and `quantize_static`),
  `coremltools.convert`. Core ML's own int8 needs a Mac.
* **time** is the CPU time of one inference on one thread, ours divided by the usual way's, both in one process and
  asked in turn: below 1 is faster. In int8 the second figure is divided by our own fp32.
* **parts** is the number of pieces that XNNPACK takes of a TFLite file: 1 is best. **float** names the operators that
  an int8 file still computes in float.
* **refused** files were written all the same, to measure them: `onenet-export` would not have published them.
"""


def markdown(document: dict[str, Any]) -> str:
    networks = list(document["networks"].values())
    parts = [INTRODUCTION, *machines(networks), "## In short\n", *summary(networks), "", *missing(networks)]
    for pair in PAIRS:
        target, precision = pair.split("-")
        parts += [f"## {TITLES[target]} {precision}\n", *table(networks, pair), ""]
    return "\n".join([*parts, READING])


def machines(networks: list[dict[str, Any]]) -> Iterator[str]:
    """A line for each machine, with the networks that were measured there, and whether it was busy."""
    places: dict[str, list[dict[str, Any]]] = {}
    for each in networks:
        context = each["context"]
        vnni = "with VNNI" if context["vnni"] else "without VNNI"
        text = f"{context['cpu']}, {context['cores']} cores, {vnni}, {context['system']}"
        places.setdefault(text, []).append(each)
    for place, measured in places.items():
        names = ", ".join(each["name"] for each in measured)
        yield textwrap.fill(f"{place}: {names if len(places) > 1 else 'all networks'}.", COLUMNS, break_on_hyphens=False) + "\n"
        busiest = max(measured, key=lambda each: each["load"][0])
        yield from busy_lines({"before": busiest["load"], "during": []}, busiest["context"]["cores"])


def summary(networks: list[dict[str, Any]]) -> Iterator[str]:
    yield "| | written | refused | not written | usual way writes | time, median | slower than usual |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for pair in PAIRS:
        cells = [each["cells"].get(pair, {}) for each in networks]
        ours = [each.get("ours", {"reason": "not reached"}) for each in cells]
        written = sum(not each["reason"] and "refused" not in each for each in ours)
        refused = sum("refused" in each for each in ours)
        usual = sum(each.get("usual", {"reason": "not reached"})["reason"] == "" for each in cells)
        ratios = [value for each in cells if (value := ratio(each)) is not None]
        times = f"{median(ratios):.2f} | {sum(value > 1.03 for value in ratios)} of {len(ratios)}" if ratios else "- | -"
        yield f"| {title(pair)} | {written} | {refused} | {len(cells) - written - refused} | {usual} | {times} |"


def missing(networks: list[dict[str, Any]]) -> Iterator[str]:
    """What the tables do not say anything about."""
    absent = NETWORKS.keys() - {each["name"] for each in networks}
    if absent:
        text = f"Not measured yet, of {len(NETWORKS)} in the list: {', '.join(sorted(absent))}."
        yield textwrap.fill(text, COLUMNS, break_on_hyphens=False) + "\n"


def title(pair: str) -> str:
    target, precision = pair.split("-")
    return f"{TITLES[target]} {precision}"


def ratio(cell: dict[str, Any]) -> float | None:
    """Our time divided by the usual way's."""
    return quotient(cell.get("ours", {}).get("ms"), cell.get("usual", {}).get("ms"))


def quotient(ours: list[float] | None, other: list[float] | None) -> float | None:
    return median(ours) / median(other) if ours and other else None


def table(networks: list[dict[str, Any]], pair: str) -> Iterator[str]:
    lite, quantized, timed = pair.startswith("tflite"), pair.endswith("int8"), not pair.startswith("coreml")
    heads = ["network", "dB", "usual dB", "MB", "usual MB", *(["time"] if timed else [])]
    heads += ["parts", *(["float"] if quantized else [])] if lite else []
    yield "| " + " | ".join(heads) + " |"
    yield "|---|" + "---|" * (len(heads) - 1)
    for network in networks:
        cell = network["cells"].get(pair, {})
        yield f"| {network['name']} | " + " | ".join(row(network, cell, pair, lite, quantized, timed)) + " |"


def row(network: dict[str, Any], cell: dict[str, Any], pair: str, lite: bool, quantized: bool, timed: bool) -> Iterator[str]:
    ours, usual = (cell.get(name, {"reason": network.get("reason") or "not reached"}) for name in ("ours", "usual"))
    yield decibels(ours)
    yield decibels(usual)
    yield megabytes(ours)
    yield megabytes(usual)
    if timed:
        own = quotient(ours.get("ms"), network["cells"].get(pair.replace("int8", "fp32"), {}).get("ours", {}).get("ms"))
        first = ratio(cell)
        yield ", ".join(f"{value:.2f}" for value in (first, own if quantized else None) if value is not None) or "-"
    if lite:
        yield str(ours.get("partitions", "-"))
        if quantized:
            yield " ".join(f"{name} {count}" for name, count in ours.get("float_operators", {}).items()) or "-"


def decibels(side: dict[str, Any]) -> str:
    if side["reason"]:
        return side["reason"][:120].replace("|", "\\|")
    simulation = f" ({side['simulation_db']})" if "simulation_db" in side else ""
    return f"{'**refused** ' if 'refused' in side else ''}{side.get('db', 'written')}{simulation}"


def megabytes(side: dict[str, Any]) -> str:
    return f"{side['bytes'] / 1e6:.2f}" if "bytes" in side else "-"
