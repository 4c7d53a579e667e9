"""``onenet bench``: artifacts on devices, a document each, a live table. Loads no torch."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from onenet.cli import console
from onenet.cli.shared import need, numbers, one_of
from onenet.errors import RequestError
from onenet.runtimes import measured_suffixes, measuring
from onenet.runtimes.devices import visible_kinds

if TYPE_CHECKING:
    from onenet.runtimes.agent.records import ThreadsRow
    from onenet.runtimes.measure.budget import Gate
    from onenet.runtimes.measure.campaign import Cell
    from onenet.runtimes.measure.document import Measurement
    from onenet.runtimes.measure.documents import Failure

EXAMPLE = "onenet bench build/*.tflite --device local --device ssh:pi@raspberrypi --threads 1,4"
place_option = functools.partial(typer.Option, rich_help_panel="Where")
plan_option = functools.partial(typer.Option, rich_help_panel="How to measure")
campaign_option = functools.partial(typer.Option, rich_help_panel="Campaign")
result_option = functools.partial(typer.Option, rich_help_panel="Result")


def command(
    artifacts: Annotated[
        list[Path] | None,
        typer.Argument(metavar="ARTIFACT", help=f"{one_of(measured_suffixes())} of onenet or others."),
    ] = None,
    device: Annotated[
        list[str] | None,
        place_option(
            "--device",
            "-d",
            metavar="DEVICE",
            help=f"{', '.join(escape(kind.usage) for kind in visible_kinds())}; default: local. Repeat it for several "
            "devices: they are measured side by side.",
        ),
    ] = None,
    runtime: Annotated[
        list[str] | None,
        place_option(metavar="NAME", help=f"Where a device has several for a format: {one_of(list(measuring()))}."),
    ] = None,
    threads: Annotated[
        str | None,
        plan_option(metavar="N,N", help="Numbers of CPU threads; each is measured. Default: all cores."),
    ] = None,
    runs: Annotated[int | None, plan_option(metavar="N", min=1, help="Minimum samples per round. Default: 30.")] = None,
    seconds: Annotated[float | None, plan_option(metavar="S", min=0, help="Minimum seconds per round. Default: 1.")] = None,
    rounds: Annotated[
        int | None,
        plan_option(metavar="N", min=1, help="Rounds: processes that load the artifact anew. Default: 3."),
    ] = None,
    cores: Annotated[str | None, plan_option(metavar="N,N", help="Run on these CPU cores only.")] = None,
    sustained: Annotated[
        float | None,
        plan_option(metavar="MIN", min=0, help="Run this many minutes more, with figures for each."),
    ] = None,
    profile: Annotated[bool, plan_option("--profile", help="Time every operator (onnxruntime).")] = False,
    timeout: Annotated[
        float | None, plan_option(metavar="S", min=1, help="Stop after this many seconds. Default: 600.")
    ] = None,
    matrix: Annotated[
        Path | None,
        campaign_option(metavar="FILE.toml", help="A campaign: what to export, what to measure, where. It is resumed."),
    ] = None,
    again: Annotated[bool, campaign_option("--again", help="Measure finished cells of a campaign as well.")] = False,
    executor: Annotated[
        str, campaign_option(metavar="WHERE", help="Where its exports run: local, ray or ray://HOST:PORT.")
    ] = "local",
    budget: Annotated[
        Path | None,
        result_option(metavar="FILE.toml", help="Limits; exit code 1 where one is exceeded. See docs/reports.md."),
    ] = None,
    out: Annotated[Path, result_option("--out", "-o", metavar="DIR", help="Folder for the documents.")] = Path(
        "build/measurements"
    ),
    json: Annotated[bool, result_option("--json", help="Print one JSON document instead of tables.")] = False,
) -> None:
    """Measure artifacts on devices: the golden pair is checked there, then latency, memory and load time.

    Writes one document for each artifact and device, for `onenet report` and `onenet compare`.
    """
    need("device", "pydantic")
    if bool(artifacts) == bool(matrix):
        raise RequestError("give artifacts to measure, or a campaign with --matrix; one of them")
    given = {
        "threads": numbers(threads, "threads"),
        "runs": runs,
        "seconds": seconds,
        "rounds": rounds,
        "cores": numbers(cores, "cores"),
        "sustained_minutes": sustained,
        "profile": profile or None,
        "timeout": timeout,
    }
    from onenet.runtimes.measure.bench import bench

    with watching(json) as watcher:
        measured = bench(
            artifacts or (),
            device or (),
            plan={name: value for name, value in given.items() if value is not None},
            out=out,
            runtimes=runtime or (),
            budget=budget,
            campaign=matrix,
            executor=executor,
            again=again or matrix is None,
            watcher=watcher,
        )
    if json:
        console.print_json(measured.as_dict())
    else:
        print_results(measured.measurements, measured.failures, measured.folder)
        print_gates(measured.gates)
    if not measured.passed:
        raise typer.Exit(1)
    if measured.failures:
        raise typer.Exit(3)


# What is shown meanwhile.


class LiveTable:
    """The table of cells on stderr: redrawn on a terminal, a line per finished cell elsewhere, nothing for ``--json``."""

    def __init__(self, silent: bool) -> None:
        self.console = console.Console(stderr=True, quiet=silent)
        self.states: dict[Cell, str] = {}
        self.live = Live(console=self.console, refresh_per_second=4, transient=True, get_renderable=self.table)
        self.lock = threading.Lock()

    def tell(self, cell: Cell, text: str) -> None:
        """Show what happens to a cell; called from the threads of the devices."""
        with self.lock:
            self.states = {**self.states, cell: text}
        if not self.console.is_terminal:
            self.note(f"{cell.artifact.name} on {cell.device}: {text}")

    def note(self, text: str) -> None:
        """Print a line above the table."""
        self.console.print(escape(text), soft_wrap=True)

    def table(self) -> Table:
        """Every cell with what happens to it."""
        table = console.plain_table("artifact", "device", "")
        for cell, text in self.states.items():
            table.add_row(escape(cell.artifact.name), escape(cell.device), escape(text))
        return table


@contextmanager
def watching(silent: bool) -> Iterator[LiveTable]:
    """The live table while something is measured; a terminal redraws it."""
    watch = LiveTable(silent)
    if not watch.console.is_terminal or silent:
        yield watch
        return
    with watch.live:
        yield watch


# What is shown in the end.


def print_results(measurements: Sequence[Measurement], failures: Sequence[Failure], out: Path) -> None:
    """One row per number of threads."""
    printed = console.stdout()
    if measurements:
        printed.print(results_table(measurements))
        printed.print()
    for note in notes(measurements):
        printed.print(note, style="dim", markup=False)
    for failure in failures:
        text = f"[red]failed[/red]  {escape(failure.file)} on {escape(failure.device)}: {escape(failure.text)}"
        printed.print(text, soft_wrap=True)
    printed.print(f"{len(measurements)} measured; documents are in {out}", soft_wrap=True, markup=False)


def results_table(measurements: Sequence[Measurement]) -> Table:
    """One row for each number of threads of every measurement."""
    right = ("threads", "p50 ms", "p99 ms", "load ms", "MB")
    table = console.plain_table("artifact", "on", *right, "golden", right=right)
    for each in measurements:
        for row in each.rows:
            table.add_row(escape(each.artifact.file), escape(each.device.name), *figures(each, row))
    return table


def print_gates(gates: Sequence[Gate]) -> None:
    """What a budget says, the failed first."""
    if not gates:
        return
    table = console.plain_table("", "budget", "artifact", "on", "")
    for gate in sorted(gates, key=lambda each: each.passed):
        mark = "[green]✓[/green]" if gate.passed else "[red]✗[/red]"
        table.add_row(mark, gate.name, escape(gate.artifact), escape(gate.device), escape(gate.reason))
    console.stdout().print(table)


def figures(measurement: Measurement, row: ThreadsRow) -> tuple[str, ...]:
    """The cells of one row; times of an emulated device have a star."""
    emulated = "*" if measurement.device.emulated else ""
    peak = "-" if row.peak_bytes is None else f"{row.peak_bytes / 1e6:.0f}"
    right = "[green]✓[/green]" if measurement.parity.compared else "–"
    golden = right if measurement.parity.passed else "[red]✗[/red]"
    summary = row.summary
    times = (milliseconds(value) for value in (summary.p50_ms, summary.p99_ms, row.load_ms))
    return (str(row.threads), *(text + emulated for text in times), peak, golden)


def milliseconds(value: float) -> str:
    """Three digits that mean something."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def notes(measurements: Sequence[Measurement]) -> Iterator[str]:
    """What runs where, and every caution once for all artifacts of a device."""
    if any(each.device.emulated for each in measurements):
        yield "* emulated: times mean nothing, values do."
    for name in dict.fromkeys(each.device.name for each in measurements):
        own = [each for each in measurements if each.device.name == name]
        runtimes = dict.fromkeys(f"{each.runtime.name} {each.runtime.version}" for each in own)
        device = own[0].device
        what = ", ".join(each for each in (device.model, device.cpu) if each != "unknown")
        yield f"{name}: {'; '.join([*([what] if what else []), ', '.join(runtimes)])}."
        cautions = {caution.name: caution.detail for each in own for caution in each.warnings}
        yield from (f"  {caution}: {detail}" for caution, detail in cautions.items())
    if any(each.warnings for each in measurements):
        yield "What to do about these: docs/measuring.md."
    for each in measurements:
        for check in each.parity.checks:
            if check.passed is False:
                yield f"{each.artifact.file} on {each.device.name}: {check.name}: {check.detail}"
