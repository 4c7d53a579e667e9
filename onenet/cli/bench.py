"""``onenet bench``: artifacts on devices, a document each, a live table. Loads no torch."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from onenet.base.files import check_folder, publish, temporary_folder
from onenet.cli import console
from onenet.cli.shared import need, numbers
from onenet.errors import OneNetError, RequestError
from onenet.runtimes.devices import visible_kinds

if TYPE_CHECKING:
    from onenet.runtimes.agent.plan import Plan
    from onenet.runtimes.agent.records import ThreadsRow
    from onenet.runtimes.measure import matrix
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
    artifacts: Annotated[list[Path] | None, typer.Argument(metavar="ARTIFACT", help=".tflite or .onnx made by onenet.")] = None,
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
        place_option(
            metavar="NAME", help="Interpreter where a device has two: ai-edge-litert, tflite-runtime, benchmark_model."
        ),
    ] = None,
    threads: Annotated[str | None, plan_option(metavar="N,N", help="A row for each. Default: all cores of the device.")] = None,
    runs: Annotated[int | None, plan_option(metavar="N", min=1, help="At least so many in a round. Default: 30.")] = None,
    seconds: Annotated[float | None, plan_option(metavar="S", min=0, help="At least so long a round. Default: 1.")] = None,
    rounds: Annotated[
        int | None, plan_option(metavar="N", min=1, help="Processes; each loads the artifact anew. Default: 3.")
    ] = None,
    cores: Annotated[str | None, plan_option(metavar="N,N", help="Bind to these CPU cores.")] = None,
    sustained: Annotated[
        float | None, plan_option(metavar="MIN", min=0, help="Then run for so many minutes, with a figure for each.")
    ] = None,
    profile: Annotated[bool, plan_option("--profile", help="Time every operator (onnxruntime).")] = False,
    timeout: Annotated[
        float | None, plan_option(metavar="S", min=1, help="Give an artifact up after so long. Default: 600.")
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
        Path | None, result_option(metavar="FILE.toml", help="Limits; exit code 1 where one is not held. See docs/reports.md.")
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
    code = run(
        Request(
            artifacts=artifacts or [],
            devices=device or [],
            runtimes=runtime or [],
            plan={name: value for name, value in given.items() if value is not None},
            out=out,
            matrix=matrix,
            executor=executor,
            again=again or matrix is None,
            budget=budget,
            json=json,
        )
    )
    if code:
        raise typer.Exit(code)


@dataclass(frozen=True)
class Request:
    """The command's options. ``plan`` holds what was given only, over a campaign's own."""

    artifacts: list[Path]
    devices: list[str]
    runtimes: list[str]
    plan: dict[str, Any]
    out: Path
    matrix: Path | None = None
    executor: str = "local"
    again: bool = True
    budget: Path | None = None
    json: bool = False


def run(request: Request) -> int:
    """Measure and print; the exit code: 1 a golden check or a budget failed, 3 a device failed."""
    from onenet.runtimes.measure import budget as budgets
    from onenet.runtimes.measure.campaign import Campaign, Store
    from onenet.runtimes.measure.document import Measurement
    from onenet.runtimes.measure.documents import Failure

    budget = budgets.read(request.budget) if request.budget else None
    check_folder(request.out)
    with watching(request.json) as watch:
        plan, cells, lost = prepare(request, watch)
        results = Campaign(cells, plan, Store(request.out), request.again, watch.tell).run()
    measurements = [each for each in results.values() if isinstance(each, Measurement)]
    failures = [*lost, *(each for each in results.values() if isinstance(each, Failure))]
    gates = budgets.check(budget, measurements, failures) if budget else []
    if request.json:
        documents = [each.as_dict() for each in (*measurements, *failures)]
        console.print_json({"documents": documents, "gates": [gate.as_dict() for gate in gates]})
    else:
        print_results(measurements, failures, request.out)
        print_gates(gates)
    if any(not each.parity.passed for each in measurements) or any(not gate.passed for gate in gates):
        return 1
    return 3 if failures else 0


# What is measured.


def prepare(request: Request, watch: Watcher) -> tuple[Plan, list[Cell], list[Failure]]:
    """The plan, the cells, and what is lost before it could be one.

    Raises:
        OneNetError: something that was asked for cannot be; before anything is measured.
    """
    from onenet.runtimes.agent.plan import Plan
    from onenet.runtimes.measure import matrix
    from onenet.runtimes.measure.campaign import cells_of

    check_runtimes(request.runtimes)
    if request.matrix is None:
        for artifact in request.artifacts:
            check_artifact(artifact)
        return Plan(**request.plan), cells_of(request.artifacts, request.devices or ["local"], request.runtimes), []
    asked = matrix.read(request.matrix)
    check_runtimes(asked.runtimes)
    plan = replace(asked.plan.plan(), **request.plan)
    artifacts = [*request.artifacts, *asked.found()]
    for artifact in artifacts:
        check_artifact(artifact)
    exported, lost = export_all(asked, request, watch)
    return plan, cells_of([*artifacts, *exported], request.devices or asked.devices, request.runtimes or asked.runtimes), lost


def check_runtimes(names: Sequence[str]) -> None:
    from onenet.runtimes.measure.campaign import FORMATS

    for name in names:
        if name not in FORMATS:
            raise RequestError(f"runtime {name!a:.100} is not known; supported: {', '.join(FORMATS)}")


def check_artifact(path: Path) -> None:
    """
    Raises:
        RequestError, CheckError, ToolError: it is not there, not one of ours, or its speed here would say nothing.
    """
    from onenet.runtimes.artifact import manifest_of

    if path.suffix == ".mlpackage":
        raise RequestError(f"{path.name}: a Core ML package runs on Apple's devices, and none of these is one; export ONNX")
    manifest_of(path)


def export_all(asked: matrix.Matrix, request: Request, watch: Watcher) -> tuple[list[Path], list[Failure]]:
    """The artifacts of every ``[[export]]``, made where they are not there yet."""
    from onenet.runtimes.measure import matrix
    from onenet.runtimes.measure.campaign import FORMATS
    from onenet.runtimes.measure.documents import failure_document
    from onenet.runtimes.measure.executors import Export, open_executor

    folders = {matrix.key_of(entry): request.out / "artifacts" / matrix.key_of(entry) for entry in asked.export}
    missing = [
        Export(key, tuple(matrix.arguments(entry)), str(asked.folder))
        for entry in asked.export
        if not folders[key := matrix.key_of(entry)].is_dir()
    ]
    lost = []
    if missing:
        check_folder(request.out / "artifacts")
        for task, files in open_executor(request.executor).run(missing):
            what = " ".join(task.arguments)
            if isinstance(files, OneNetError):
                lost.append(failure_document(what, "export", files))
                watch.note(f"export {what}: failed")
                continue
            keep_files(files, folders[task.key])
            watch.note(f"export {what}: done")
    made = [path for folder in folders.values() if folder.is_dir() for path in sorted(folder.iterdir())]
    return [path for path in made if path.suffix in FORMATS.values()], lost


def keep_files(files: dict[str, bytes], final: Path) -> None:
    with temporary_folder(final.parent) as folder:
        made = folder / final.name
        for name, content in files.items():
            path = made / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        publish(made, final)


# What is shown meanwhile.


class Watcher:
    """The table of cells on stderr: redrawn on a terminal, a line per finished cell elsewhere, nothing for ``--json``."""

    def __init__(self, silent: bool) -> None:
        self.console = Console(stderr=True, quiet=silent, highlight=False)
        self.states: dict[Cell, str] = {}
        self.live = Live(console=self.console, refresh_per_second=4, transient=True, get_renderable=self.table)
        self.lock = threading.Lock()

    def tell(self, cell: Cell, text: str) -> None:
        with self.lock:
            self.states = {**self.states, cell: text}
        if not self.console.is_terminal:
            self.note(f"{cell.artifact.name} on {cell.device}: {text}")

    def note(self, text: str) -> None:
        self.console.print(escape(text), soft_wrap=True)

    def table(self) -> Table:
        table = console.plain_table("artifact", "device", "")
        for cell, text in self.states.items():
            table.add_row(escape(cell.artifact.name), escape(cell.device), escape(text))
        return table


@contextmanager
def watching(silent: bool) -> Iterator[Watcher]:
    watch = Watcher(silent)
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
    printed.print(f"{len(measurements)} document{'s' * (len(measurements) != 1)} in {out}", soft_wrap=True, markup=False)


def results_table(measurements: Sequence[Measurement]) -> Table:
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
    emulated = "*" if measurement.device.emulated else ""
    peak = "-" if row.peak_bytes is None else f"{row.peak_bytes / 1e6:.0f}"
    golden = "[green]✓[/green]" if measurement.parity.passed else "[red]✗[/red]"
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
