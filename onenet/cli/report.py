"""``onenet report``: documents of ``onenet bench`` to one page, and to Markdown, CSV and JSON. Loads no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onenet.cli import console
from onenet.cli.shared import need

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
        Path | None,
        typer.Option(metavar="FILE.toml", help="Limits; exit code 1 where one is exceeded. See docs/reports.md."),
    ] = None,
    form: Annotated[
        str,
        typer.Option("--format", metavar="NAMES", help="Formats: html, md, csv, json, with commas. Default: html."),
    ] = "html",
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the report.")] = Path("build/report"),
    json: Annotated[bool, typer.Option("--json", help="Print the merged documents instead of a summary.")] = False,
) -> None:
    """Make one page of measurements, which works offline, and tables."""
    need("report", "pydantic", "jinja2")
    from onenet.runtimes.report.write import report

    formats = [name.strip() for name in form.split(",") if name.strip()]
    made = report(documents, out, formats=formats, budget=budget, artifacts=artifacts)
    if json:
        from onenet.runtimes.report import tables

        console.print_json(tables.merged(made.documents, made.gates))
    else:
        print_report(made)
    if not made.passed:
        raise typer.Exit(1)


def print_report(report: Report) -> None:
    """The report in a few facts, the gates that failed, and the files."""
    from onenet.runtimes.report import summary

    out = console.stdout()
    for text, mood in summary.headline(report.documents, report.gates):
        out.print(summary.SIGNS[mood] + text, style=STYLES[mood], markup=False)
    print_gates([gate for gate in report.gates or () if not gate.passed])
    for path in report.files:
        out.print(str(path), soft_wrap=True, markup=False)


def print_gates(failed: Sequence[Gate]) -> None:
    """The gates that failed, a line each; ``onenet bench --budget`` prints them too."""
    for gate in failed:
        limit = "" if gate.limit is None else f" {gate.limit:g}"
        text = f"✗ {gate.name}{limit}: {gate.artifact} on {gate.device}: {gate.reason}"
        console.stdout().print(text, style="red", markup=False, soft_wrap=True)
