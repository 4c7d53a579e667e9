"""``onenet report``: the files it writes, its exit codes, its errors."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from onenet.cli import report as report_command
from onenet.cli.app import app
from onenet.errors import CheckError, RequestError, ToolError
from onenet.runtimes.measure import document
from onenet.runtimes.measure.documents import FAILURE_SUFFIX, failure_document, load
from tests.unit.measured import measurement, write

pytest.importorskip("jinja2")


def campaign() -> list[document.Measurement]:
    speeds = {("tflite", "fp32"): 30.0, ("tflite", "int8"): 12.0, ("onnx", "fp32"): 33.0, ("onnx", "int8"): 14.0}
    return [
        measurement(ms * slow, target=target, precision=precision, device=device, threads=(1, 4), seed=i)
        for device, slow in {"local": 1.0, "ssh:pi": 4.0}.items()
        for i, ((target, precision), ms) in enumerate(speeds.items())
    ]


def command(folder: Path, **options: Any) -> bool:
    """Whether ``onenet report`` ends with exit code 0."""
    given: dict[str, Any] = {"form": "html,md,csv,json", "budget": None, "artifacts": None, "json": False, **options}
    try:
        report_command.command([folder / "in"], out=folder / "out", **given)
    except typer.Exit:
        return False
    return True


def test_all_formats_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = campaign()
    write(tmp_path / "in", *found)
    assert command(tmp_path)
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "report.csv",
        "report.html",
        "report.json",
        "report.md",
        "report.samples.csv",
    ]
    rows = list(csv.DictReader((out / "report.csv").read_text().splitlines()))
    assert len(rows) == 2 * len(found)
    merged = json.loads((out / "report.json").read_text())
    assert len(merged["measurements"]) == len(found)
    assert load([write(tmp_path / "again", *(document.validate(each, "a test") for each in merged["measurements"]))])
    samples = list(csv.DictReader((out / "report.samples.csv").read_text().splitlines()))
    assert len(samples) == 2 * len(found) * 3 * 40
    place = ("artifact", "device", "threads")
    of_one = [float(each["ms"]) for each in samples if all(each[key] == rows[0][key] for key in place)]
    assert np.median(of_one) == pytest.approx(float(rows[0]["p50_ms"]), abs=1e-6)
    markdown = (out / "report.md").read_text()
    assert markdown.count("\n| TFLite int8 |") == 4
    assert "golden checks passed: 8 of 8" in capsys.readouterr().out


def test_a_budget_decides_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "in", measurement(10))
    limits = tmp_path / "budget.toml"
    limits.write_text("[[budget]]\np50_ms = 20\n")
    assert command(tmp_path, budget=limits)
    limits.write_text("[[budget]]\np50_ms = 5\n")
    assert not command(tmp_path, budget=limits)
    assert "✗ p50_ms 5: onenet-ed4_int8.tflite on local: 10.1" in capsys.readouterr().out
    text = (tmp_path / "out" / "report.html").read_text()
    assert "no artifact keeps the budget" in text
    assert not command(tmp_path, budget=limits, json=True)
    assert [gate["passed"] for gate in json.loads(capsys.readouterr().out)["gates"]] == [True, False]


@pytest.mark.parametrize("formats", ["", "pdf", "html,pdf", ","])
def test_unknown_formats(tmp_path: Path, formats: str) -> None:
    with pytest.raises(RequestError, match="is not known; supported: html, md, csv, json"):
        command(tmp_path, form=formats)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_document_leaves_the_last_report_alone(tmp_path: Path) -> None:
    write(tmp_path / "in", measurement(10))
    command(tmp_path, form="md")
    before = (tmp_path / "out" / "report.md").read_text()
    (tmp_path / "in" / "0.measurement.json").write_text("{")
    with pytest.raises(CheckError):
        command(tmp_path, form="md")
    assert (tmp_path / "out" / "report.md").read_text() == before


def test_exit_codes_and_one_line_errors(tmp_path: Path) -> None:
    folder, limits = write(tmp_path / "in", measurement(10)), tmp_path / "budget.toml"
    limits.write_text("[[budget]]\np50_ms = 5\n")
    for options, code in {(): 0, ("--budget", str(limits)): 1, ("--format", "pdf"): 2, ("--artifacts", "none"): 2}.items():
        result = CliRunner().invoke(app, ["report", str(folder), "--out", str(tmp_path / "out"), *options])
        assert result.exit_code == code
        assert result.stderr.count("\n") == (code == 2)


def test_a_folder_of_failures_alone(tmp_path: Path) -> None:
    failure = failure_document("lost.tflite", "adb", ToolError("the device went away"))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / f"lost{FAILURE_SUFFIX}").write_text(failure.to_json())
    assert command(tmp_path)
    assert "the device went away" in (tmp_path / "out" / "report.html").read_text()
