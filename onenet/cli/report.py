"""``onenet report``: documents of ``onenet bench`` to one page, and to Markdown, CSV and JSON. Loads no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onenet.base.files import check_folder, publish, temporary_folder
from onenet.cli import console
from onenet.cli.shared import need
from onenet.errors import RequestError

if TYPE_CHECKING:
    from onenet.runtimes.measure.budget import Gate
    from onenet.runtimes.report.page import Report
    from onenet.runtimes.report.summary import Mood

EXAMPLE = "onenet report build/measurements --artifacts build --out build/report"
STYLES: dict[Mood, str] = {"good": "green", "warn": "yellow", "bad": "red", "": ""}


def command(
    documents: Annotated[
        list[Path], typer.Argument(metavar="DOCUMENTS", help="Documents of `onenet bench`, or folders that hold them.")
    ],
    artifacts: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the artifacts: shows their pictures and their profiles layer by layer."),
    ] = None,
    budget: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Limits; exit code 1 where one is not held. See docs/reports.md.")
    ] = None,
    form: Annotated[
        str, typer.Option("--format", metavar="NAMES", help="Of html, md, csv, json, with commas. Default: html.")
    ] = "html",
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the report.")] = Path("build/report"),
    json: Annotated[bool, typer.Option("--json", help="Print the merged documents instead of a summary.")] = False,
) -> None:
    """Make one page of measurements, which works offline, and tables."""
    need("report", "pydantic", "jinja2")
    if not run(documents, out, form, budget, artifacts, json):
        raise typer.Exit(1)


def run(paths: Sequence[Path], out: Path, formats: str, limits: Path | None, artifacts: Path | None, as_json: bool) -> bool:
    """Write the report; whether every gate of the budget passed.

    Args:
        paths: documents, or folders that hold them.
        formats: names from ``writers()``, separated by commas.
        limits: a budget.
        artifacts: folder with the measured artifacts, whose layer profiles and pictures are to be shown.

    Raises:
        RequestError: nothing to report, an unknown format, a budget that cannot be read, a folder that cannot be written.
        CheckError: a damaged document.
    """
    from onenet.runtimes.measure import budget, documents
    from onenet.runtimes.report import extras, tables
    from onenet.runtimes.report.page import Report

    chosen = parse_formats(formats)
    check_folder(out)
    allowed = None if limits is None else budget.read(limits)
    found = documents.load(paths)
    gates = None if allowed is None else budget.check(allowed, found.measurements, found.failures)
    beside = extras.Extras() if artifacts is None else extras.find(artifacts, found.measurements)
    report = Report(found, None if gates is None else tuple(gates), beside)
    files = write(report, chosen, out)
    if as_json:
        console.print_json(tables.merged(found, gates))
    else:
        print_report(report, files)
    return gates is None or budget.passed(gates)


def writers() -> dict[str, dict[str, Callable[[Report], str]]]:
    """Format -> the files it writes, and what makes their text."""
    from onenet.runtimes.report import page, tables

    return {
        "html": {"report.html": page.render},
        "md": {"report.md": lambda report: tables.markdown(report.documents, report.gates)},
        "csv": {
            "report.csv": lambda report: tables.rows_csv(report.documents),
            "report.samples.csv": lambda report: tables.samples_csv(report.documents),
        },
        "json": {"report.json": lambda report: tables.merged_json(report.documents, report.gates)},
    }


def parse_formats(text: str) -> list[str]:
    names = [each.strip() for each in text.split(",") if each.strip()]
    unknown = [each for each in names if each not in writers()]
    if unknown or not names:
        raise RequestError(
            f"format {(unknown or [text])[0]!r:.100} is not known; supported: {', '.join(writers())}, with commas"
        )
    return list(dict.fromkeys(names))


def write(report: Report, chosen: Sequence[str], out: Path) -> list[Path]:
    """All files, or none."""
    texts = {name: make(report) for each in chosen for name, make in writers()[each].items()}
    with temporary_folder(out) as folder:
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
        for name in texts:
            publish(folder / name, out / name)
    return [out / name for name in texts]


def print_report(report: Report, files: Sequence[Path]) -> None:
    from onenet.runtimes.report import summary

    out = console.stdout()
    for text, mood in summary.headline(report.documents, report.gates):
        out.print(summary.SIGNS[mood] + text, style=STYLES[mood], markup=False)
    print_gates([gate for gate in report.gates or () if not gate.passed])
    for path in files:
        out.print(str(path), soft_wrap=True, markup=False)


def print_gates(failed: Sequence[Gate]) -> None:
    """The gates that failed, a line each; ``onenet bench --budget`` prints them too."""
    for gate in failed:
        limit = "" if gate.limit is None else f" {gate.limit:g}"
        text = f"✗ {gate.name}{limit}: {gate.artifact} on {gate.device}: {gate.reason}"
        console.stdout().print(text, style="red", markup=False, soft_wrap=True)
