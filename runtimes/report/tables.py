"""The report as Markdown for a pull request, as CSV for a spreadsheet, and as one JSON document."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence

from onenet.runtimes.measure.budget import Gate
from onenet.runtimes.measure.documents import Documents, Line
from onenet.runtimes.report import summary
from onenet.runtimes.report.format import digits, figure, percent
from onenet.tasks import metrics

SCHEMA = 1
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so is computed by a spreadsheet."""


def markdown(documents: Documents, gates: Sequence[Gate] | None = None) -> str:
    """For a comment or a README: facts, the best of each device, every row, gates and failures."""
    named = summary.names(documents)
    parts = [
        "## On-device report",
        "\n".join(f"- {summary.SIGNS[mood]}{inert(text)}" for text, mood in summary.headline(documents, gates)),
    ]
    best = [best_cells(each, named) for each in summary.best_of_devices(documents, gates or ())]
    if best:
        heads = ["fastest that is right", "device", "median ms", "99 % ms", "images/s", "memory of the device's"]
        parts.append(table(heads, best, "llrrrr"))
    shown = summary.shown_qualities(documents)
    heads = ["artifact", "device", "runtime", "threads", "median ms", "99 % ms", "peak MB", "file MB"]
    rows = [line_cells(line, named, shown) for line in documents.lines()]
    if rows:
        parts.append(
            table([*heads, *(metrics()[name].title for name in shown), "golden"], rows, "lllrrrrr" + "r" * len(shown) + "l")
        )
    if any(line.emulated for line in documents.lines()):
        parts.append("Emulated: values count, times and memory do not.")
    if gates is not None:
        parts.append(
            "### Budget\n\n" + table(["gate", "artifact", "device", "verdict", "reason"], map(gate_cells, gates), "lllll")
        )
    if documents.failures:
        cells = [[each.file, each.device, f"{each.error}: {each.text}"] for each in documents.failures]
        parts.append("### Not measured\n\n" + table(["artifact", "device", "what happened"], cells, "lll"))
    return "\n\n".join(parts) + "\n"


def verdict(good: bool, compared: bool = True) -> str:
    """The word for a golden check or a gate."""
    return "✗ FAILED" if not good else "✓ passed" if compared else "– not compared"


def best_cells(best: summary.Best, named: dict[str, str]) -> list[str]:
    """A row of the table of devices."""
    if best.line is None:
        return [best.reason, best.device.device.name, *["–"] * 4]
    line = best.line
    figures = [figure(line.p50_ms), figure(line.row.summary.p99_ms), figure(line.fps), percent(best.memory_share)]
    return [f"{named[line.file]}, {summary.plural(line.row.threads, 'thread')}", line.device, *figures]


def line_cells(line: Line, named: dict[str, str], shown: Sequence[str]) -> list[str]:
    """A row of the table of measurements."""
    device = line.device + (" (emulated)" if line.emulated else "")
    figures = [line.p50_ms, line.row.summary.p99_ms, line.peak_mb, line.size_mb]
    qualities = [digits(line.quality(name), metrics()[name].digits) for name in shown]
    first = [named[line.file], device, line.runtime, str(line.row.threads)]
    return [*first, *map(figure, figures), *qualities, verdict(line.passed, line.compared)]


def gate_cells(gate: Gate) -> list[str]:
    """A row of the table of budgets."""
    name = gate.name if gate.limit is None else f"{gate.name} {gate.limit:g}"
    return [name, gate.artifact, gate.device, verdict(gate.passed), gate.reason]


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], sides: str) -> str:
    """A table of GitHub's Markdown; what cells hold is shown as it is."""
    lines = [heads, ["--:" if side == "r" else "---" for side in sides]]
    written = ["| " + " | ".join(each) + " |" for each in lines]
    return "\n".join([*written, *("| " + " | ".join(map(inert, row)) + " |" for row in rows)])


def inert(text: str) -> str:
    """Text that Markdown shows as it is: no tag, link, emphasis, mention or new cell."""
    text = " ".join(text.split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"(?<!\w)@", "&#64;", text)
    text = text.replace("://", ":&#47;&#47;")
    return re.sub(r"([\\`*\[\]|~])|(?<!\w)(_)|(_)(?!\w)", lambda found: "\\" + found.group(), text)


def rows_csv(documents: Documents) -> str:
    """One line for each row of each measurement, figures in full."""
    qualities = summary.shown_qualities(documents)
    return to_csv([record(line, qualities) for line in documents.lines()])


def record(line: Line, qualities: Sequence[str]) -> dict[str, object]:
    """A line with everything that the CSV holds."""
    measurement, row = line.measurement, line.row
    artifact, device = measurement.artifact, measurement.device
    figures = {name: value for name, value in row.summary.as_dict().items() if name != "ci95_ms"}
    low, high = row.summary.ci95_ms
    return {
        "artifact": artifact.file,
        "sha256": artifact.sha256,
        "model": artifact.model,
        "target": artifact.target,
        "precision": artifact.precision,
        "device": device.name,
        "device_model": device.model,
        "cpu": device.cpu,
        "emulated": device.emulated or "",
        "runtime": measurement.runtime.name,
        "runtime_version": measurement.runtime.version,
        "threads": row.threads,
        "measured": measurement.measured.isoformat(),
        "golden": "failed" if not line.passed else "passed" if line.compared else "not compared",
        **figures,
        "ci95_low_ms": low,
        "ci95_high_ms": high,
        "load_ms": row.load_ms,
        "first_ms": row.first_ms,
        "prepare_ms": row.prepare_ms,
        "finish_ms": row.finish_ms,
        "peak_bytes": row.peak_bytes,
        "baseline_bytes": row.baseline_bytes,
        "bytes": artifact.bytes,
        "sustained_drop_percent": None if row.sustained is None else row.sustained.drop_percent,
        **{name: line.quality(name) for name in qualities},
        "warnings": " ".join(caution.name for caution in measurement.warnings),
    }


def samples_csv(documents: Documents) -> str:
    """One line for each sample, in the order that they were taken: what statistics of your own start from."""
    heads = ("artifact", "sha256", "device", "runtime", "threads", "round", "run", "ms")
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(heads)
    for line in documents.lines():
        artifact = line.measurement.artifact
        named = [plain(each) for each in (artifact.file, artifact.sha256[:12], line.device, line.runtime)]
        for i, each in enumerate(line.row.rounds):
            writer.writerows([*named, line.row.threads, i + 1, j + 1, ms] for j, ms in enumerate(each.samples_ms))
    return stream.getvalue()


def to_csv(records: Sequence[dict[str, object]]) -> str:
    """Records of equal keys as CSV with a head line."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(records[0]) if records else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: plain(value) for key, value in each.items()} for each in records)
    return stream.getvalue()


def plain(value: object) -> object:
    """Text that a spreadsheet does not compute."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def merged(documents: Documents, gates: Sequence[Gate] | None = None) -> dict[str, object]:
    """All documents in one, raw samples included."""
    return {
        "schema": SCHEMA,
        "measurements": [each.as_dict() for each in documents.measurements],
        "failures": [each.as_dict() for each in documents.failures],
        "gates": None if gates is None else [gate.as_dict() for gate in gates],
    }


def merged_json(documents: Documents, gates: Sequence[Gate] | None = None) -> str:
    """All documents and gates as one JSON document."""
    return json.dumps(merged(documents, gates), separators=(",", ":"), allow_nan=False) + "\n"
