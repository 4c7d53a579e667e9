"""The results as Markdown: one table per network, reasons, context.

``python -m bench.report docs/benchmarks`` writes README.md and the charts again from toolchains.json.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.chart import draw
from bench.summary import is_wrong, machine_rates, measured, rate, ratio, reference, timing

INTRODUCTION = """# Comparison with other toolchains

Every toolchain gets the same thing: the network in the paper's literal form (`onenet.models.onenet`, in PyTorch), the same
weights, the same calibration images. What each makes of it as its documentation says is measured on one machine, in one run.
Written by `make toolchains`; do not edit. All samples are in [toolchains.json](toolchains.json).
"""

READING = """## How to read it

* **ms** is the median of all inferences, p90 in parentheses. Only the inference is timed: input and output are in the
  layout and type that the file has.
* **×** is the time divided by that of our fastest row of the same precision: above 1 is slower than ours. The ratio is of
  the medians over everything; behind it, where they differ, the lowest and highest ratio of a single round.
* **of limit** is the network's operations (2 per multiplication of its convolutions, counted in the literal network) per
  second, divided by the rate of the fastest matrix product of torch, onnxruntime and XNNPACK in the same rounds and
  precision, on one thread.
* **SQNR** and **labels** compare the output with PyTorch's in fp32 on one image that is no calibration image: signal to
  noise, and the share of pixels with the same class. An fp32 row under 40 dB computes something else and is marked as
  wrong. Random weights are harsher on int8 than trained ones: compare rows with each other, and see the shipped checkpoints
  for what to expect.
* **MB** is the size of the files, **RSS** the largest resident size of the process after the first inference on one thread:
  Python with the runtime, and PyTorch where the runtime's Python interface needs it (torch, ExecuTorch).

## How it is measured

Each row is a process in the environment of its toolchain, warmed up for 0.5 s. All processes of a network stay alive and
are asked in turn, in another order each round, so that a slow minute of the machine hits all of them. Threads are set
through each toolchain's own option. OpenVINO computes fp32 in fp32 (its default is bf16 where the processor has it).
onnxruntime's int8 row is the fastest of eight settings; [toolchains.json](toolchains.json) lists them all, and how every
file was made.

`make toolchains` repeats it. The first run makes one environment per toolchain in `build/bench` (20 GB) and converts
everything; later runs convert what changed. `python -m bench.toolchains --help` lists how to measure a part. Stop everything
else on the machine first: the load before, during and after is in the table at the top.
"""


UNITS = {"fp32": "GFLOP/s fp32", "int8": "GOP/s int8"}

BUSY = 0.25
"""Load average per core above which other work disturbs the figures."""


def markdown(document: dict[str, Any]) -> str:
    parts = [INTRODUCTION, context_text(document)]
    for network in document["networks"]:
        parts.append(network_text(network, document["threads"]))
    parts += [READING, "## Versions\n", versions_text(document["context"])]
    return "\n".join(parts)


def context_text(document: dict[str, Any]) -> str:
    c, load = document["context"], document["load"]
    vnni = {True: "with VNNI", False: "without VNNI (onnxruntime's int8 kernels saturate)", None: "not x86"}[c["vnni"]]
    lines = [
        "| | |",
        "|---|---|",
        f"| processor | {c['cpu']}, {c['cores']} cores{', virtual' if c['virtual'] else ''}, {vnni} |",
        f"| features | {' '.join(c['flags'])} |",
        *([f"| hidden from the runtimes | {c['hidden']} |"] if c.get("hidden") else []),
        f"| memory, system | {c['memory_bytes'] / 2**30:.0f} GiB, {c['system']}, Python {c['python']} |",
        f"| governor | {c['governor'] or 'not shown'} |",
        f"| commit, date | {c['commit']}, {document['began']} to {document['ended'].split()[1]} UTC |",
        f"| load average (1 min) before, during, after | {load['before'][0]}, {span(load['during'])}, {load['after'][0]} |",
        f"| time taken by other virtual machines | {stolen(load)} |",
        f"| rounds, seconds per row and round | {document['rounds']}, {document['seconds']} |",
        "",
    ]
    return "\n".join([*lines, *busy_lines(load, c["cores"])])


def busy_lines(load: dict[str, Any], cores: int) -> list[str]:
    """What the load says about other work on the machine.

    The load before holds the minutes before, our own conversions too. The lowest load during the run holds one measuring
    process and whatever else never stopped.
    """
    if load["before"][0] <= BUSY * cores:
        return []
    lowest = min((averages[0] for averages in load["during"]), default=None)
    if lowest is None or lowest > 1 + BUSY * cores:
        return ["**The machine was busy; repeat it on a quiet one.**", ""]
    return [
        "The load before the run is that of the minutes before it, with our own conversions.",
        f"While it ran, the load fell to {lowest}: one measuring process is 1.",
        "",
    ]


def span(values: list[list[float]]) -> str:
    first = [each[0] for each in values]
    return f"{min(first)}–{max(first)}" if first else "-"


def stolen(load: dict[str, Any]) -> str:
    return "not shown" if load["stolen_ticks"] is None else f"{load['stolen_ticks'] / 100:.1f} s"


def network_text(network: dict[str, Any], threads: list[int]) -> str:
    head = ["toolchain", "precision", *(f"{h}" for n in threads for h in (f"ms, {count(n)} (p90)", "×"))]
    head += ["of limit", "SQNR", "labels", "MB", "RSS MB"]
    lines = [
        f"## {network['name']}",
        "",
        f"{network['summary']}; {network['parameters'] / 1e6:.2f} M parameters, {network['operations'] / 1e9:.1f} GFLOP.",
        run_text(network.get("run")),
        limit_text(network, threads),
        "",
        f"![{network['name']}]({network['name']}.png)",
        "",
        f"| {' | '.join(head)} |",
        "|---|---|" + "--:|" * (len(head) - 2),
        *table_rows(network, threads),
        "",
        *reasons(network),
    ]
    return "\n".join(lines)


def run_text(run: dict[str, Any] | None) -> str:
    return f"Measured from {run['began']} on, commit {run['commit']}, load average before {run['load']}." if run else ""


def count(threads: int) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"


def limit_text(network: dict[str, Any], threads: list[int]) -> str:
    texts = []
    for n in threads:
        rates = machine_rates(network["rows"], n)
        if rates:
            texts.append(f"{count(n)}: " + ", ".join(f"{found:.0f} {UNITS[precision]}" for precision, found in rates.items()))
    return f"The machine's limit, {'; '.join(texts)}." if texts else ""


def table_rows(network: dict[str, Any], threads: list[int]) -> Iterator[str]:
    rows = network["rows"]
    names = {r["row"]: r for n in reversed(threads) for r in measured(rows, n)}
    for row in sorted(names.values(), key=lambda r: (r["precision"], timing(r["seconds"]).median)):
        cells = [cell for n in threads for cell in timing_cells(rows, row["row"], n)]
        cells += [of_limit(network, row), *quality_cells(row), f"{row['bytes'] / 1e6:.2f}", f"{row['peak_bytes'] / 1e6:.0f}"]
        name = f"**{row['label']}**" if row["ours"] else row["label"]
        yield f"| {name} | {row['precision']} | {' | '.join(cells)} |"


def timing_cells(rows: list[dict[str, Any]], name: str, threads: int) -> tuple[str, str]:
    row = next((r for r in measured(rows, threads) if r["row"] == name), None)
    if row is None:
        return "-", "-"
    found, ours = timing(row["seconds"]), reference(rows, threads, row["precision"])
    return f"{short(found.median)} ({short(found.p90)})", ratio_cell(row, ours)


def ratio_cell(row: dict[str, Any], ours: dict[str, Any] | None) -> str:
    if ours is None:
        return "-"
    found = ratio(row["seconds"], ours["seconds"])
    value, low, high = f"{found.value:.2f}", f"{found.low:.2f}", f"{found.high:.2f}"
    return value if low == high else f"{value} ({low}–{high})"


def short(ms: float) -> str:
    """Three digits, and no exponent."""
    return f"{ms:.0f}" if ms >= 100 else f"{ms:.1f}" if ms >= 10 else f"{ms:.2f}"


def of_limit(network: dict[str, Any], row: dict[str, Any]) -> str:
    limit = machine_rates(network["rows"], row["threads"]).get(row["precision"])
    return f"{rate(network['operations'], timing(row['seconds']).median) / limit:.0%}" if limit else "-"


def quality_cells(row: dict[str, Any]) -> tuple[str, str]:
    sqnr, agreement = row.get("sqnr_db"), row.get("label_agreement")
    wrong = ", wrong" if is_wrong(row) else ""
    return ("-" if sqnr is None else f"{sqnr:.1f} dB{wrong}", "-" if agreement is None else f"{agreement:.2%}")


def reasons(network: dict[str, Any]) -> Iterator[str]:
    """Rows that were not measured, and what their conversion noted."""
    failed = {(r["label"], r["precision"], r["reason"]): None for r in network["rows"] if r["reason"]}
    if failed:
        yield "Not measured:\n"
        yield from (f"* {label}, {precision}: {reason.replace('|', '/')}" for label, precision, reason in failed)
        yield ""
    notes = ((r, note) for r in network["rows"] for note in (r["conversion"].get("note"), r.get("note")) if note)
    noted = {(r["label"], r["precision"], note): None for r, note in notes}
    if noted:
        yield "Noted:\n"
        yield from (f"* {label}, {precision}: {note}" for label, precision, note in noted)
        yield ""


def versions_text(context: dict[str, Any]) -> str:
    lines = [f"* onenet: {', '.join(f'{k} {v}' for k, v in context['own_versions'].items())}"]
    lines += [f"* {name}: {', '.join(r.replace('==', ' ') for r in found)}" for name, found in context["versions"].items()]
    return "\n".join(lines) + "\n"


def write(document: dict[str, Any], folder: Path) -> None:
    """README.md and one chart per network, on one thread where that was measured."""
    for network in document["networks"]:
        draw(network, min(document["threads"]), folder / f"{network['name']}.png")
    (folder / "README.md").write_text(markdown(document))


if __name__ == "__main__":
    out = Path(sys.argv[1])
    write(json.loads((out / "toolchains.json").read_text()), out)
