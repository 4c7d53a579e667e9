"""Everything the command line prints: steps with progress, tables, JSON. Made for 80 columns."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import typer
from rich import console as rich_console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from onenet import models
from onenet.base import progress
from onenet.base.text import spelled_out
from onenet.cli.shared import nobody_reads
from onenet.exporters.results import columns, size_text

if TYPE_CHECKING:
    from onenet.calibration.search import SearchResult
    from onenet.exporters.results import Exports
    from onenet.runtimes.parity import Verification
    from onenet.runtimes.run import RunResults


class Console(rich_console.Console):
    """A terminal that obeys nothing of what a device, a manifest or a file name holds: that is spelled out."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Before it is laid out, so that columns are wide enough."""
        return super().render_str(spelled_out(text), **options)

    def render(
        self, renderable: rich_console.RenderableType, options: rich_console.ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Everything that is printed comes through here; our own colours and movements are no part of a segment's text."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=spelled_out(segment.text))

    def on_broken_pipe(self) -> None:
        """rich would end with the exit code of a check that failed."""
        nobody_reads()


class Steps(progress.Progress):
    """One progress line per step on stderr, kept on the screen when done; silent for ``--json``."""

    def __init__(self, *, silent: bool = False) -> None:
        # Converters have stderr redirected while they run (export/quiet.py); a copy of it stays ours.
        self.stream = os.fdopen(os.dup(sys.stderr.fileno()), "w") if has_descriptor() else sys.stderr
        self.console = Console(file=self.stream, quiet=silent)
        self.progress = Progress(
            SpinnerColumn(finished_text="[green]✓[/green]"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            console=self.console,
            disable=silent or not self.console.is_terminal,
        )
        self.task: TaskID | None = None
        self.current: tuple[str, float] | None = None

    def __enter__(self) -> Steps:
        self.progress.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.finish()
        elif self.task is not None:
            self.progress.update(self.task, visible=False)
        self.progress.stop()
        if self.stream is not sys.stderr:
            self.stream.close()

    def start(self, step: str, total: int | None = None) -> None:
        """Begin a step; a step without ``total`` shows that it is busy, not how far it is."""
        self.finish()
        self.current = (step, time.monotonic())
        self.task = self.progress.add_task(step, total=total, count="")

    def advance(self, count: int) -> None:
        if self.task is None:
            return
        self.progress.advance(self.task, count)
        task = self.progress.tasks[-1]
        self.progress.update(self.task, count=f"{task.completed:.0f}/{task.total:.0f}")

    def finish(self) -> None:
        """End the current step; where stderr is no terminal, print it as one line."""
        if self.current is None or self.task is None:
            return
        step, began = self.current
        self.progress.update(self.task, total=1, completed=1)
        if self.progress.disable:
            self.console.print(f"{step}: {time.monotonic() - began:.1f} s")
        self.current = None

    def warn(self, text: str) -> None:
        self.console.print(f"[yellow]warning:[/yellow] {escape(text)}")


def has_descriptor() -> bool:
    """Whether stderr is a file of the system; under a test runner it may not be."""
    try:
        sys.stderr.fileno()
    except (OSError, ValueError, AttributeError):
        return False
    return True


def stdout() -> Console:
    """Where tables go."""
    return Console()


def print_json(content: object) -> None:
    """Print one JSON document, keys sorted."""
    sys.stdout.write(json.dumps(content, indent=1, sort_keys=True) + "\n")


def plain_table(*columns: str, right: Sequence[str] = ()) -> Table:
    """A table without lines; columns in ``right`` are right-aligned and never broken."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", no_wrap=column in right)
    return table


def print_exported(exports: Exports, *, verbose: bool = False) -> None:
    """The summary: one row per artifact, after the choices that a budget left; what failed, and why, at the end.

    Args:
        exports: at least one artifact, and what could not be made.
        verbose: with the last lines that the converter of what failed printed.
    """
    from onenet.calibration.quantized import in_float_text
    from onenet.tasks import metrics

    if exports.search is not None:
        print_search(exports.search)
    heads = columns(exports)
    table = plain_table(*heads, right=heads[1:-1])
    for artifact in exports:
        cells = [escape(cell) for cell in artifact.cells(heads).values()]
        colour = "green" if artifact.checked in ("yes", "evaluator") else "yellow"
        table.add_row(*cells[:-1], f"[{colour}]{cells[-1]}[/{colour}]")
    for failed in exports.failed:
        cells = [escape(cell) for cell in failed.cells(heads).values()]
        table.add_row(*cells[:-1], f"[red]{cells[-1]}[/red]")
    out = stdout()
    out.print()
    out.print(table)
    out.print()
    first = exports[0].quality
    notes = []
    print_weights(exports)
    if first is not None:
        names = [each["name"] for each in exports[0].manifest["outputs"]]
        rest = f", of {names[0]}, the first of {len(names)} outputs (the others: checks in the manifest)" if names[1:] else ""
        notes.append(f"SQNR and label agreement: against the float model, on {first.images} images{rest}.")
    if first is not None:
        notes += [
            f"{metric.title} of the float model on them: {first.float_scores[name]:.{metric.digits}f}."
            for name, metric in metrics().items()
            if metric.headline and name in first.float_scores
        ]
    if exports.quantized is not None:
        record = exports.quantized.record
        notes.append(f"Calibrated on {record.samples} images ({record.recipe.estimator}), calibration {record.id}.")
        if exports.quantized.in_float:
            notes.append(f"In float: {in_float_text(exports.quantized.in_float)}.")
    for note in notes:
        out.print(note, style="dim")
    for artifact in exports:
        picture = f"  (picture: {artifact.preview.name})" if artifact.preview else ""
        out.print(f"{artifact.path}{picture}", soft_wrap=True, markup=False)
    for failed in exports.failed:
        out.print(f"\n{failed.target} {failed.precision}: {failed.reason}", style="red", markup=False)
        if verbose:
            print_lines(failed.printed)


def print_weights(exports: Exports) -> None:
    """Whose weights were exported, where nobody named any; and what of them nobody trained."""
    manifest = exports[0].manifest
    source, name = manifest.get("source", {}), manifest.get("name")
    if source.get("weights") != "from the factory":
        return
    drawn = source.get("drawn")
    text = f"No --weights were given: these are the own weights of {name}"
    out = stdout()
    if drawn:
        out.print(f"{text}, and random: {escape(drawn)}. Another call gives others.", style="yellow")
    else:
        out.print(f"{text}.", style="dim")


def print_lines(lines: Sequence[str]) -> None:
    """What a converter printed last, on stderr and as it is."""
    for line in lines:
        typer.echo(f"  {line}", err=True)


def print_search(search: SearchResult) -> None:
    """The Pareto front of a budget search, smallest first."""
    right = ("float layers", "weights", "int8 work", "quality")
    table = plain_table("", *right, right=right)
    for each in search.front:
        mark = "[green]→[/green]" if each == search.chosen else ""
        row = (str(len(each.floats)), size_text(each.weight_bytes), f"{each.int8_share:.1%}", f"{min(each.quality, 999):.2f}")
        table.add_row(mark, *row)
    out = stdout()
    out.print()
    out.print(table)
    floats = ", ".join(search.chosen.floats) or "none: int8 throughout holds the budget"
    out.print(f"\nIn float: {floats}.", style="dim")
    out.print("Quality: SQNR in dB, or points of mIoU against the float model. Work: multiplications.", style="dim")


def print_verification(result: Verification) -> None:
    """Print what ``verify`` found, a row for each check."""
    out = stdout()
    state = "[green]verified[/green]" if result.passed else "[red]FAILED[/red]"
    runtime = f"{result.runtime.name} {result.runtime.version}".strip()
    out.print(f"{escape(result.artifact)}: {state}  ({result.target} {result.precision}, {runtime})", soft_wrap=True)
    table = plain_table("", "check", "found")
    for check in result.checks:
        mark = {True: "[green]✓[/green]", False: "[red]✗[/red]", None: "[yellow]–[/yellow]"}[check.passed]
        table.add_row(mark, escape(check.name), escape(check.detail))
    out.print(table)


def print_run(results: RunResults, peak: int | None) -> None:
    """What ``onenet run`` did: one row per image, what was found where that is text, and what failed."""
    kind = results[0].kind if results else "result"
    table = plain_table("image", "HxW", "run as", "s", kind, right=("s",))
    for each in results:
        size = "x".join(map(str, each.size))
        table.add_row(escape(each.image.name), size, each.run_as, f"{each.seconds:.1f}", escape(each.file.name))
    out = stdout()
    out.print(table)
    for failure in results.failed:
        out.print(f"[red]failed[/red]  {escape(failure.image.name)}: {escape(str(failure.error))}", soft_wrap=True)
    for each in results:
        if each.lines:
            out.print(f"\n{escape(each.image.name)}")
        for line in each.lines:
            out.print(f"  {line}", markup=False)
    halo = next((each.halo for each in results if each.halo), None)
    out.print()
    if halo is not None:
        cut = " and ".join(f"{n} {axis}" for n, axis in zip(halo, ("rows", "columns"), strict=True) if n is not None)
        out.print(f"Tiles give the whole image's result; halo {cut}.", style="dim")
    if peak is not None:
        out.print(f"Peak memory: {peak / 1e6:.0f} MB.", style="dim")
    for folder in sorted({str(each.file.parent) for each in results}):
        out.print(folder, soft_wrap=True, markup=False)


def print_models() -> None:
    """Print the models that can be exported."""
    table = plain_table("name", "weights", "what it is")
    for entry in models.REGISTRY.values():
        table.add_row(entry.name, "shipped" if entry.weights else "yours", entry.summary)
    out = stdout()
    out.print(table)
    out.print("\nAny other network: --model path/to/file.py:factory", style="dim")
