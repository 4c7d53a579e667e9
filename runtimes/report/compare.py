"""Two sets of measurements, row by row: slower, faster, the same, or not decided by what was measured.

Samples of one process are not independent of one another: where memory came to lie, and how the scheduler began, moves all of
them together by one or two percent. A test that takes 300 samples for 300 observations calls two runs of one file different
almost every time, so a verdict needs two things here:

* Mann-Whitney's U on all samples, p below ``alpha``: the samples differ;
* an interval of the ratio, at the level 1 - ``alpha``, that excludes 1 by the noise floor: the processes differ.

The interval is Student's, on the logarithms of the rounds' medians: one number per process. Three rounds estimate their own
spread badly, so it is averaged with a spread that is expected anywhere (``EXPECTED_SPREAD``, which counts as much as
``EXPECTED_WEIGHT`` further degrees of freedom): the moderated t of G. K. Smyth, "Linear models and empirical Bayes methods for
assessing differential expression in microarray experiments", 2004, with a prior that is given, not estimated.
``tests/unit/test_compare.py`` simulates how often it errs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from onenet.base.host import require
from onenet.base.tables import html_table, text_table
from onenet.errors import RequestError
from onenet.runtimes.measure.documents import Documents, Failure, Line, load
from onenet.runtimes.report.format import figure, signed_percent

LEAST_ROUNDS, LEAST_SAMPLES = 3, 10
"""The fewest rounds of a row, and samples of a round, that decide anything."""
EXPECTED_SPREAD, EXPECTED_WEIGHT = 0.01, 4
"""Standard deviation between processes, relative, and how many further rounds this expectation counts for."""
NOISE_FLOOR = 0.01
"""A difference that is certain but smaller is none: placement of code and of memory alone makes as much."""

UNFIT = ("busy", "throttled")
"""Warnings of a machine whose speed something else decides. All rounds suffer alike, so no statistics sees it."""

Key = tuple[str | int, ...]
HEADS = ("row", "base ms", "new ms", "change", "verdict", "regressions")
Verdict = Literal["slower", "faster", "same", "undecided", "emulated"]


@dataclass(frozen=True)
class Timing:
    """The times of one row on both sides."""

    base_ms: float
    """Geometric mean of the rounds' medians, as is ``new_ms``; ``ratio`` is new over base."""
    new_ms: float
    ratio: float
    low: float
    """The interval of the ratio at the level 1 - alpha."""
    high: float
    p: float
    """The p of Mann-Whitney's U on all samples, two-sided."""


@dataclass(frozen=True)
class Change:
    """One figure that is not a sample of times. None: that side does not have it."""

    name: str
    base: float | None
    new: float | None

    @property
    def ratio(self) -> float | None:
        """New over base; None where one of them is missing or the base is 0."""
        return self.new / self.base if self.base and self.new is not None else None


@dataclass(frozen=True)
class RowComparison:
    """One row that both sides have."""

    base: Line
    new: Line
    timing: Timing
    verdict: Verdict
    changes: tuple[Change, ...]
    notes: tuple[str, ...]
    """What is different around the measurement, so that the figures may not mean what they seem to."""
    regressions: tuple[str, ...]
    """In words; none: the row passes."""

    def as_dict(self) -> dict[str, object]:
        """As JSON holds it."""
        artifact = self.new.measurement.artifact
        return {
            **{"model": artifact.model, "target": artifact.target, "precision": artifact.precision},
            **{"base": self.base.file, "new": self.new.file, "device": self.new.device},
            **{"runtime": self.new.runtime, "threads": self.new.row.threads},
            **{"verdict": self.verdict, "timing": asdict(self.timing)},
            **{"changes": [asdict(each) for each in self.changes]},
            **{"notes": list(self.notes), "regressions": list(self.regressions)},
        }


@dataclass(frozen=True)
class Comparison:
    """What ``compare`` found."""

    rows: tuple[RowComparison, ...]
    only_base: tuple[Line, ...]
    only_new: tuple[Line, ...]
    lost: tuple[str, ...]
    """Rows of BASE, and how NEW failed to measure them."""
    alpha: float = 0.01
    fail_above: float = 0.05

    @property
    def passed(self) -> bool:
        """Whether nothing got worse."""
        return not self.lost and not any(row.regressions for row in self.rows)

    def as_dict(self) -> dict[str, object]:
        """As JSON holds it."""
        return {
            "schema": 1,
            "alpha": self.alpha,
            "fail_above": self.fail_above,
            "passed": self.passed,
            "rows": [row.as_dict() for row in self.rows],
            "lost": list(self.lost),
            "only_base": [title(line) for line in self.only_base],
            "only_new": [title(line) for line in self.only_new],
        }

    def cells(self) -> list[list[str]]:
        """Rows of a small table."""
        return [
            [
                *(title(row.new), figure(row.timing.base_ms), figure(row.timing.new_ms)),
                *(signed_percent(row.timing.ratio - 1, 1), row.verdict, "; ".join(row.regressions)),
            ]
            for row in self.rows
        ]

    def __repr__(self) -> str:
        verdict = "nothing got worse" if self.passed else "something got worse"
        lost = [f"not measured any more: {text}" for text in self.lost]
        return "\n".join([text_table(HEADS, self.cells()), *lost, verdict])

    def _repr_html_(self) -> str:
        return html_table(HEADS, self.cells())


def compare(base: Path | str, new: Path | str, fail_above: float = 0.05, alpha: float = 0.01) -> Comparison:
    """Compare two sets of measurements, row by row.

    Args:
        base, new: a document of ``bench``, or a folder of them.
        fail_above: relative; a slowdown, a growth of file or memory beyond it is a regression.
        alpha: chance of a false alarm that one row may take.

    Raises:
        RequestError: the two have no row in common, one has too few rounds or samples, or ``alpha`` is not between 0 and 0.5.
        CheckError: a damaged document.
        ToolError: scipy is missing.
    """
    return compare_documents(load([Path(base)]), load([Path(new)]), alpha, fail_above)


def compare_documents(base: Documents, new: Documents, alpha: float = 0.01, fail_above: float = 0.05) -> Comparison:
    """Every row that both have, and those that only one has; see ``compare``.

    Raises:
        RequestError, ToolError: as ``compare``.
    """
    if not 0 < alpha < 0.5:
        raise RequestError(f"alpha must lie between 0 and 0.5; found {alpha!r}")
    pairs, only_base, only_new = match(base.lines(), new.lines())
    lost = [f"{title(line)}: {each.error}: {each.text}" for line in only_base for each in new.failures if is_of(each, line)]
    if not pairs and not lost:
        raise RequestError(
            "nothing to compare: no row of the two has the same model, target, precision, device, runtime and threads "
            f"(the first of each: {title(only_base[0])}; {title(only_new[0])})"
            if only_base and only_new
            else "nothing to compare: one side has no measurement"
        )
    rows = tuple(judge(*pair, alpha, fail_above) for pair in pairs)
    return Comparison(rows, tuple(only_base), tuple(only_new), tuple(lost), alpha, fail_above)


def is_of(failure: Failure, line: Line) -> bool:
    """Whether this is what failed. An artifact that could not be read is known by its file's name alone."""
    found, artifact = failure.artifact, line.measurement.artifact
    same_file = failure.file == artifact.file
    if not isinstance(found, str):
        kind = (found.model, found.target, found.precision) == (artifact.model, artifact.target, artifact.precision)
        return failure.device == line.device and (same_file or kind)
    return failure.device == line.device and same_file


def judge(base: Line, new: Line, alpha: float, fail_above: float) -> RowComparison:
    """
    Raises:
        RequestError: too few rounds or samples to say anything.
    """
    for line in (base, new):
        if not line.emulated:
            check_enough(line)
    timing = compare_times(samples(base), samples(new), alpha)
    verdict = believed(decide(timing, alpha, fail_above), base, new)
    changes = tuple(changes_of(base, new))
    regressions = tuple(regressions_of(base, new, timing, verdict, changes, fail_above))
    return RowComparison(base, new, timing, verdict, changes, tuple(notes_of(base, new)), regressions)


def check_enough(line: Line) -> None:
    """Refuse a line of too few rounds or samples to compare, with a RequestError."""
    rounds = line.row.rounds
    fewest = min(len(each.samples_ms) for each in rounds)
    if len(rounds) < LEAST_ROUNDS or fewest < LEAST_SAMPLES:
        raise RequestError(
            f"{title(line)} has {len(rounds)} rounds, the shortest of {fewest} samples; a comparison needs at least "
            f"{LEAST_ROUNDS} rounds of {LEAST_SAMPLES}: measure again with more --rounds and --runs"
        )


def samples(line: Line) -> list[list[float]]:
    """Milliseconds of every run, by round."""
    return [each.samples_ms for each in line.row.rounds]


def compare_times(base: Sequence[Sequence[float]], new: Sequence[Sequence[float]], alpha: float) -> Timing:
    """Ratio of the typical times of two rows, from milliseconds by round, and how sure it is."""
    stats = require("scipy.stats", "report")
    tiny = 1e-6  # ms: below any clock; a runner that computes nothing may report 0
    logs = [np.log([max(float(np.median(each)), tiny) for each in rounds]) for rounds in (base, new)]
    counts = [each.size for each in logs]
    freedom = sum(counts) - 2
    squares = float(sum(((each - each.mean()) ** 2).sum() for each in logs))
    variance = (squares + EXPECTED_WEIGHT * EXPECTED_SPREAD**2) / (freedom + EXPECTED_WEIGHT)
    error = (variance * sum(1 / count for count in counts)) ** 0.5
    margin = error * float(stats.t.ppf(1 - alpha / 2, freedom + EXPECTED_WEIGHT))
    before, after = (float(each.mean()) for each in logs)
    p = float(stats.mannwhitneyu(np.concatenate(base), np.concatenate(new)).pvalue)
    low, ratio, high = (float(np.exp(after - before + shift)) for shift in (-margin, 0, margin))
    return Timing(float(np.exp(before)), float(np.exp(after)), ratio, low, high, p)


def decide(timing: Timing, alpha: float, fail_above: float) -> Verdict:
    """``same`` needs an interval inside what is tolerated; an interval that is wider than that decides nothing."""
    if timing.p < alpha and timing.low > 1 + NOISE_FLOOR:
        return "slower"
    if timing.p < alpha and timing.high < 1 / (1 + NOISE_FLOOR):
        return "faster"
    tolerated = max(fail_above, NOISE_FLOOR)
    return "same" if timing.high <= 1 + tolerated and timing.low >= 1 / (1 + tolerated) else "undecided"


def believed(verdict: Verdict, base: Line, new: Line) -> Verdict:
    """What remains of a verdict on machines that were emulated or unfit."""
    if base.emulated or new.emulated:
        return "emulated"
    return "undecided" if verdict in ("slower", "faster") and (unfit(base) or unfit(new)) else verdict


def unfit(line: Line) -> list[str]:
    """Names of the cautions that make a line's times useless for a comparison."""
    return sorted({caution.name for caution in line.measurement.warnings if caution.name in UNFIT})


def changes_of(base: Line, new: Line) -> Iterator[Change]:
    """Size, memory, loading and quality, where a side has them; of an emulated device those that are not the emulator's."""
    costs: dict[str, Callable[[Line], float | None]] = {"size_mb": lambda line: line.size_mb}
    if not (base.emulated or new.emulated):
        costs["peak_mb"] = lambda line: line.peak_mb
        costs["load_ms"] = lambda line: line.row.load_ms
        costs["first_ms"] = lambda line: line.row.first_ms
    for name, cost in costs.items():
        if (cost(base), cost(new)) != (None, None):
            yield Change(name, cost(base), cost(new))
    qualities = [line.measurement.artifact.quality for line in (base, new)]
    for name in sorted(set(qualities[0]) | set(qualities[1])):
        values = [None if each.get(name) is None else float(each[name] or 0) for each in qualities]
        if values != [None, None]:
            yield Change(name, *values)


def regressions_of(
    base: Line, new: Line, timing: Timing, verdict: Verdict, changes: Iterable[Change], limit: float
) -> Iterator[str]:
    """A verdict alone is no regression, nor is a large ratio alone: it takes both."""
    if not new.passed and base.passed:
        failed = next((check.detail for check in new.measurement.parity.checks if check.passed is False), "")
        yield f"its golden check fails now ({failed})"
    if verdict == "slower" and timing.ratio > 1 + limit:
        yield f"{timing.ratio - 1:+.1%} time"
    ratios = {each.name: each.ratio or 1 for each in changes}
    if ratios["size_mb"] > 1 + limit:
        yield f"{ratios['size_mb'] - 1:+.1%} file size"
    if ratios.get("peak_mb", 1) > 1 + limit and memory_is_apart(base, new):
        yield f"{ratios['peak_mb'] - 1:+.1%} peak memory"


def memory_is_apart(base: Line, new: Line) -> bool:
    """Whether every process of ``new`` needed more than every one of ``base``."""
    peaks = [[each.peak_bytes for each in line.row.rounds if each.peak_bytes is not None] for line in (base, new)]
    return not all(peaks) or min(peaks[1]) > max(peaks[0])


def notes_of(base: Line, new: Line) -> Iterator[str]:
    """What a reader must know before believing the figures."""
    before, after = base.measurement, new.measurement
    pairs = {
        "processor": (before.device.cpu, after.device.cpu),
        "device model": (before.device.model, after.device.model),
        "cores": (before.device.cores, after.device.cores),
        "emulator": (before.device.emulated, after.device.emulated),
        "system": (before.device.system, after.device.system),
        "runtime": (base.runtime, new.runtime),
        "kernels": (before.runtime.kernels, after.runtime.kernels),
        "onenet": (before.tool, after.tool),
        "core binding": (base.row.cores, new.row.cores),
        "governor": (setting(base, "governor"), setting(new, "governor")),
        "power": (setting(base, "power"), setting(new, "power")),
        "evaluation images": tuple(each.artifact.quality.get("images") for each in (before, after)),
    }
    for name, (old, now) in pairs.items():
        if old != now:
            yield f"another {name}: {plain(old)} before, {plain(now)} now"
    for side, line in (("BASE", base), ("NEW", new)):
        if unfit(line):
            yield f"{side} was measured on an unfit machine ({', '.join(unfit(line))}): its times decide nothing"


def plain(value: object) -> str:
    """A value of a document as a person reads it; ``unknown`` where there is none."""
    return "unknown" if value in (None, "", []) else ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def setting(line: Line, name: Literal["governor", "power"]) -> str | None:
    """What the machine said last."""
    found = [getattr(state, name) for row in line.measurement.rows for state in row.states]
    return next((each for each in reversed(found) if each is not None), None)


def match(base: Sequence[Line], new: Sequence[Line]) -> tuple[list[tuple[Line, Line]], list[Line], list[Line]]:
    """Pairs of rows, and what is left on either side.

    Where several files of a side share a key (tiles of two sizes, two recipes), those of equal names belong together. Of one
    file measured twice, the later measurement counts.
    """
    groups: dict[Key, tuple[dict[str, Line], dict[str, Line]]] = defaultdict(lambda: ({}, {}))
    for side, lines in enumerate((base, new)):
        for line in sorted(lines, key=lambda each: each.measurement.measured.timestamp()):
            groups[key(line)][side][line.file] = line
    pairs: list[tuple[Line, Line]] = []
    left: tuple[list[Line], list[Line]] = ([], [])
    for before, after in groups.values():
        if len(before) == len(after) == 1:
            before = dict(zip(after, before.values(), strict=True))  # one of each belong together, whatever they are called
        pairs += [(before[name], after[name]) for name in before if name in after]
        left[0].extend(line for name, line in before.items() if name not in after)
        left[1].extend(line for name, line in after.items() if name not in before)
    return pairs, *left


def key(line: Line) -> Key:
    """What two rows must share to be compared."""
    artifact = line.measurement.artifact
    named = (artifact.model, artifact.target, artifact.precision, line.device, line.measurement.runtime.name)
    return (*named, line.row.threads)


def title(line: Line) -> str:
    """A line by its file, device, runtime and threads."""
    count = line.row.threads
    return f"{line.file} on {line.device}, {line.measurement.runtime.name}, {count} thread{'s' * (count > 1)}"
