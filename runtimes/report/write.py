"""``onenet.report``: documents from ``onenet bench`` as one page, and as Markdown, CSV and JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from onenet.base.files import check_folder, publish, temporary_folder
from onenet.errors import RequestError
from onenet.runtimes.measure import budget as budgets
from onenet.runtimes.measure import documents
from onenet.runtimes.report import extras, page, tables
from onenet.runtimes.report.page import Report

FORMATS: dict[str, dict[str, Callable[[Report], str]]] = {
    "html": {"report.html": page.render},
    "md": {"report.md": lambda report: tables.markdown(report.documents, report.gates)},
    "csv": {
        "report.csv": lambda report: tables.rows_csv(report.documents),
        "report.samples.csv": lambda report: tables.samples_csv(report.documents),
    },
    "json": {"report.json": lambda report: tables.merged_json(report.documents, report.gates)},
}
"""Format -> the files it writes, and what makes their text."""


def report(
    paths: Path | str | Iterable[Path | str],
    out: Path | str = "build/report",
    *,
    formats: Sequence[str] = ("html",),
    budget: Path | str | None = None,
    artifacts: Path | str | None = None,
) -> Report:
    """Write a report of measurements.

    Args:
        paths: documents, or folders that hold them.
        out: folder of the report.
        formats: names from ``FORMATS``.
        budget: TOML file of limits.
        artifacts: folder with the measured artifacts, whose layer profiles and pictures are to be shown.

    Raises:
        RequestError: nothing to report, an unknown format, a budget that cannot be read, a folder that cannot be written.
        CheckError: a damaged document.
        ToolError: a package that the format needs is missing.
    """
    check_formats(formats)
    folder = Path(out)
    check_folder(folder)
    limits = None if budget is None else budgets.read(Path(budget))
    loaded = documents.load([Path(paths)] if isinstance(paths, (str, Path)) else [Path(path) for path in paths])
    gates = None if limits is None else tuple(budgets.check(limits, loaded.measurements, loaded.failures))
    beside = extras.Extras() if artifacts is None else extras.find(Path(artifacts), loaded.measurements)
    made = Report(loaded, gates, beside)
    return replace(made, files=tuple(write_files(made, list(dict.fromkeys(formats)), folder)))


def check_formats(names: Sequence[str]) -> None:
    """
    Raises:
        RequestError: there are none, or one is not known.
    """
    unknown = [name for name in names if name not in FORMATS] or ([] if names else [""])
    if unknown:
        raise RequestError(f"format {unknown[0]!r:.100} is not known; supported: {', '.join(FORMATS)}, with commas")


def write_files(report: Report, formats: Iterable[str], out: Path) -> list[Path]:
    """All files, or none."""
    texts = {name: make(report) for each in formats for name, make in FORMATS[each].items()}
    with temporary_folder(out) as folder:
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
        for name in texts:
            publish(folder / name, out / name)
    return [out / name for name in texts]
