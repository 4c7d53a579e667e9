"""``onenet compare``: two sets of documents, row by row, and whether anything got worse. Loads no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from onenet.cli import console
from onenet.cli.shared import need
from onenet.errors import RequestError

if TYPE_CHECKING:
    from onenet.runtimes.report.compare import Change, Comparison, RowComparison

EXAMPLE = "onenet compare main/measurements build/measurements --fail-above 5%"
COLOURS = {"slower": "red", "faster": "green", "same": "", "undecided": "yellow", "emulated": "dim"}
UNCHANGED, UNCHANGED_TIME = 0.005, 0.05
"""Figures that change by less than this, relative, are not listed: some pages of memory; the time of one single load."""
EXACT = 5e-5
"""The same of qualities between 0 and 1: half of the last digit that is shown."""


def command(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="A document of `onenet bench`, or a folder of them.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="What is compared with it: the same artifacts, later.")],
    fail_above: Annotated[
        str, typer.Option(metavar="PERCENT", help="Exit code 1 where something got worse by more than this.")
    ] = "5%",
    alpha: Annotated[float, typer.Option(metavar="P", help="Chance of calling a row different that is not.")] = 0.01,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")] = False,
) -> None:
    """Say what got slower, larger or less accurate between two measurements, and whether that is more than noise."""
    need("report", "pydantic", "scipy")
    from onenet.runtimes.report.compare import compare

    result = compare(base, new, parse_percent(fail_above), alpha)
    if json:
        console.print_json(result.as_dict())
    else:
        print_result(result)
    if not result.passed:
        raise typer.Exit(1)


def parse_percent(text: str) -> float:
    """A share from ``5%`` or ``5``.

    Raises:
        RequestError: it is something else.
    """
    found = re.fullmatch(r"\s*(\d{1,4}(?:\.\d{1,6})?)\s*%?\s*", text)
    if found is None:
        raise RequestError(f"fail-above {text!r:.100} is not a percentage; write 5% or 2.5%")
    return float(found.group(1)) / 100


def print_result(result: Comparison) -> None:
    """Times of every device, what else changed, and the verdict."""
    alpha, limit = result.alpha, result.fail_above
    from onenet.runtimes.measure import documents
    from onenet.runtimes.report import summary
    from onenet.runtimes.report.compare import title, unfit

    out = console.stdout()
    named = summary.names(documents.Documents(tuple(row.new.measurement for row in result.rows)))
    for device, rows in by_device(result.rows).items():
        out.print(f"{device}", style="bold", markup=False, soft_wrap=True)
        out.print(time_table(rows, named))
        out.print()
    level = f"{100 * (1 - alpha):g} %"
    out.print(f"ms: medians of the rounds. change: with its {level} interval. U: p of Mann-Whitney.", style="dim")
    print_changes(result.rows, named)
    for side, lines in (("BASE", result.only_base), ("NEW", result.only_new)):
        for line in lines:
            out.print(f"only in {side}: {title(line)}", style="yellow", markup=False, soft_wrap=True)
    for text, files in once(result.rows):
        out.print(f"note: {text}" + (f" ({files} rows)" if files > 1 else ""), style="yellow", markup=False, soft_wrap=True)
    if any(row.verdict == "undecided" and not (unfit(row.base) or unfit(row.new)) for row in result.rows):
        text = f"undecided: a change of {100 * limit:g} % can be neither shown nor excluded; measure both with more --rounds"
        out.print(text, style="yellow", soft_wrap=True)
    for text in result.lost:
        out.print(f"✗ not measured any more: {text}", style="red", markup=False, soft_wrap=True)
    for text in dict.fromkeys(f"{title(row.new)}: {each}" for row in result.rows for each in row.regressions):
        out.print(f"✗ {text}", style="red", markup=False, soft_wrap=True)
    undecided = sum(row.verdict == "undecided" for row in result.rows)
    if result.passed and undecided:
        of = f"{undecided} of {summary.plural(len(result.rows), 'row')}"
        out.print(f"! no regression beyond {100 * limit:g} % was shown; times of {of} are undecided", style="yellow")
    elif result.passed:
        out.print(f"✓ nothing got worse by more than {100 * limit:g} %", style="green")


def by_device(rows: Iterable[RowComparison]) -> dict[str, list[RowComparison]]:
    """Device -> its rows, in the order given."""
    groups: dict[str, list[RowComparison]] = {}
    for row in rows:
        groups.setdefault(row.new.device, []).append(row)
    return groups


def time_table(rows: Sequence[RowComparison], named: dict[str, str]) -> object:
    """Medians, the change with its interval, and the verdict of every row."""
    from onenet.runtimes.report.format import figure, signed_percent

    right = ("base ms", "new ms", "change", "from", "to", "U")
    table = console.plain_table("artifact", *right, "verdict", right=right)
    for row in rows:
        timing, colour = row.timing, COLOURS[row.verdict]
        shares = [signed_percent(each - 1, 1) for each in (timing.ratio, timing.low, timing.high)]
        p = "<1e-9" if timing.p < 1e-9 else f"{timing.p:.1g}"
        verdict = f"[{colour}]{row.verdict}[/{colour}]" if colour else row.verdict
        name = escape(f"{named[row.new.file]} ×{row.new.row.threads}")
        table.add_row(name, figure(timing.base_ms), figure(timing.new_ms), *shares, p, verdict)
    return table


def print_changes(rows: Sequence[RowComparison], named: dict[str, str]) -> None:
    """Size, memory, loading and quality, where they changed; a figure of the file once, not for every row."""
    from onenet.runtimes.report.format import figure

    lines: dict[tuple[str, ...], None] = {}
    for row in rows:
        for change in row.changes:
            if changed(change):
                place = named[row.new.file] if of_the_file(change) else f"{named[row.new.file]} ×{row.new.row.threads}"
                device = "" if of_the_file(change) else row.new.device
                lines[(place, device, change.name, figure(change.base), figure(change.new), words(change))] = None
    if lines:
        table = console.plain_table("also changed", "on", "figure", "base", "new", "change", right=("base", "new", "change"))
        for each in lines:
            table.add_row(*map(escape, each))
        console.stdout().print()
        console.stdout().print(table)
        console.stdout().print()


def of_the_file(change: Change) -> bool:
    """Whether a figure belongs to the artifact, not to how it ran on a device."""
    return change.name not in ("peak_mb", "load_ms", "first_ms")


def changed(change: Change) -> bool:
    """Whether a figure changed by more than what is noise for it."""
    from onenet.tasks import SQNR, metrics

    if change.name == "images" or change.base is None or change.new is None:
        return change.base != change.new
    if change.name in metrics() and change.name != SQNR.name:
        return abs(change.new - change.base) > EXACT
    least = UNCHANGED_TIME if change.name.endswith("_ms") else UNCHANGED
    return abs(change.new - change.base) > least * abs(change.base)


def words(change: Change) -> str:
    """The difference of a quality, and of everything else the relative change."""
    from onenet.runtimes.report.format import signed_percent
    from onenet.tasks import metrics

    if change.base is None or change.new is None:
        return "only one side"
    if change.name in metrics() or not change.base:
        return f"{change.new - change.base:+.4g}"
    return signed_percent(change.new / change.base - 1, 1)


def once(rows: Sequence[RowComparison]) -> list[tuple[str, int]]:
    """Each note, and how many rows it belongs to."""
    counts: dict[str, int] = {}
    for row in rows:
        for note in row.notes:
            counts[note] = counts.get(note, 0) + 1
    return list(counts.items())
