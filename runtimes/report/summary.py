"""What a report says first: the best artifact of every device, what passed, and how artifacts are called in tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from onenet.runtimes.measure.budget import Gate
from onenet.runtimes.measure.document import Measurement
from onenet.runtimes.measure.documents import Documents, Line
from onenet.targets import title_of
from onenet.tasks import Metric, headlines, metrics

Mood = Literal["good", "warn", "bad", ""]
SIGNS: dict[Mood, str] = {"good": "✓ ", "warn": "! ", "bad": "✗ ", "": ""}
EQUAL_DB = 140.0
"""SQNR from which float32 outputs differ by rounding alone; drawn there at most."""


@dataclass(frozen=True)
class Best:
    """The fastest artifact of a device that gives right results, and keeps the budget where there is one."""

    device: Measurement
    """Any of the device's measurements."""
    line: Line | None
    """None: nothing on this device may be recommended."""
    reason: str = ""
    """Why not."""
    speedup: float | None = None
    """Over the fastest fp32 artifact of the model on this device."""
    main: Metric | None = None
    """The main figure of its task, where it was measured."""
    quality_lost: float | None = None
    """That figure, below the best of the model's artifacts on this device."""

    @property
    def memory_share(self) -> float | None:
        """Peak memory as a share of the device's; None where one of them is not known."""
        whole = self.device.device.memory_bytes
        return self.line.row.peak_bytes / whole if self.line and self.line.row.peak_bytes and whole else None


def best_of_devices(documents: Documents, gates: Sequence[Gate] = ()) -> list[Best]:
    """One for each device and model; emulated devices have none, their times mean nothing."""
    groups: dict[tuple[str, str], list[Line]] = {}
    for line in documents.lines():
        if not line.emulated:
            groups.setdefault((line.device, line.measurement.artifact.model), []).append(line)
    return [best_of(lines, gates) for lines in groups.values()]


def best_of(lines: Sequence[Line], gates: Sequence[Gate]) -> Best:
    """The fastest line of a device that is right and keeps the budget, or why there is none."""
    device = lines[0].measurement
    right = [line for line in lines if line.passed]
    kept = [line for line in right if not broken(line, gates)]
    if not kept:
        return Best(device, None, "no artifact keeps the budget" if right else "no artifact passes its golden check")
    best = min(kept, key=lambda line: line.p50_ms)
    floats = [line.p50_ms for line in right if line.measurement.artifact.precision == "fp32"]
    speedup = min(floats) / best.p50_ms if floats and best.p50_ms and best.measurement.artifact.precision != "fp32" else None
    main = next((name for name in headlines() if best.quality(name) is not None), None)
    if main is None:
        return Best(device, best, speedup=speedup)
    return Best(device, best, speedup=speedup, main=metrics()[main], quality_lost=lost(best, right, main))


def lost(line: Line, others: Iterable[Line], name: str) -> float:
    """How much worse a line's figure is than the best of ``others``; 0 for the best."""
    sign = 1 if metrics()[name].higher_is_better else -1
    values = [sign * value for each in others if (value := each.quality(name)) is not None]
    return max(values) - sign * (line.quality(name) or 0.0)


def broken(line: Line, gates: Iterable[Gate]) -> bool:
    """Whether a gate of this artifact on this device failed; one of other threads only where it was asked for those."""
    return any(not gate.passed and (gate.artifact, gate.device) == (line.file, line.device) for gate in gates)


def names(documents: Documents) -> dict[str, str]:
    """File -> name in tables and charts, as short as it can be without two having the same."""
    artifacts = {each.artifact.file: each.artifact for each in documents.measurements}
    models = {each.model for each in artifacts.values()}
    short = {file: f"{title_of(each.target)} {each.precision}" for file, each in artifacts.items()}
    if len(models) > 1:
        short = {file: f"{artifacts[file].model} {name}" for file, name in short.items()}
    counts = Counter(short.values())
    return {file: name if counts[name] == 1 else file for file, name in short.items()}


def devices(documents: Documents) -> dict[str, list[Measurement]]:
    """Name -> its measurements; real devices first."""
    found: dict[str, list[Measurement]] = {}
    for each in sorted(documents.measurements, key=lambda each: (each.device.emulated is not None, each.device.name)):
        found.setdefault(each.device.name, []).append(each)
    return found


def shown_qualities(documents: Documents) -> list[str]:
    """Names of the metrics that any artifact has; what matters most comes first."""
    return [name for name in metrics() if any(each.artifact.quality.get(name) is not None for each in documents.measurements)]


def plural(count: int, word: str) -> str:
    """``1 row``, ``2 rows``."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def headline(documents: Documents, gates: Sequence[Gate] | None) -> list[tuple[str, Mood]]:
    """The report in a few facts."""
    measured, failed = documents.measurements, documents.failures
    compared = [each.parity for each in measured if each.parity.compared or not each.parity.passed]
    right = sum(parity.passed for parity in compared)
    emulated = sum(each.device.emulated is not None for each in measured)
    artifacts, places = len({each.artifact.sha256 for each in measured}), len(devices(documents))
    facts: list[tuple[str, Mood]] = [(f"{plural(artifacts, 'artifact')} on {plural(places, 'device')}", "")]
    if measured:
        rest = f", {len(measured) - len(compared)} not compared" if len(compared) < len(measured) else ""
        facts.append((f"golden checks passed: {right} of {len(compared)}{rest}", mood(right == len(compared))))
    if gates is not None:
        good = sum(gate.passed for gate in gates)
        facts.append((f"budget gates passed: {good} of {len(gates)}", mood(good == len(gates))))
    if failed:
        facts.append((f"not measured: {plural(len(failed), 'cell')}", "bad"))
    warnings = sum(len(each.warnings) for each in measured)
    if warnings:
        facts.append((plural(warnings, "warning"), "warn"))
    if emulated:
        facts.append((f"emulated, not ranked: {emulated}", ""))
    return facts


def mood(good: bool) -> Mood:
    """The mood of a verdict."""
    return "good" if good else "bad"
