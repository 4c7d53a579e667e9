"""``onenet bench``: what it asks for, prints and returns. Campaigns: ``tests/unit/runtimes/measure``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from onenet.cli.bench import milliseconds
from tests.null_artifact import write_null
from tests.unit.cli.invoked import refused, run

QUICK = ["--device", "null", "--threads", "1", "--runs", "1", "--seconds", "0", "--rounds", "1"]


def test_artifacts_or_a_campaign(tmp_path: Path) -> None:
    path = str(write_null(tmp_path / "net.null"))
    assert "give artifacts to measure, or a campaign with --matrix; one of them" in refused("bench")
    assert "one of them" in refused("bench", path, "--matrix", "c.toml")
    assert "--threads 'two'" in refused("bench", path, "--threads", "two")


def test_a_table_and_a_document(tmp_path: Path) -> None:
    result = run("bench", str(write_null(tmp_path / "net.null")), *QUICK, "--out", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    assert "net.null" in result.stdout and f"1 measured; documents are in {tmp_path / 'out'}" in result.stdout.replace("\n", "")
    assert "net.null on null: done" in result.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["net.null@null.measurement.json"]


def test_json_is_one_document_and_nothing_else(tmp_path: Path) -> None:
    result = run("bench", str(write_null(tmp_path / "net.null")), *QUICK, "--out", str(tmp_path / "out"), "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    content = json.loads(result.stdout)
    (document,) = content["documents"]
    assert (document["artifact"]["file"], content["gates"]) == ("net.null", [])


def test_a_device_that_fails_is_exit_code_3(tmp_path: Path) -> None:
    words = ["--device", "null:unplugged it", *QUICK]
    result = run("bench", str(write_null(tmp_path / "net.null")), *words, "--out", str(tmp_path / "out"))
    assert result.exit_code == 3
    assert "failed  net.null on null:unplugged it: unplugged it" in result.stdout
    assert "1 measured; documents are in" in result.stdout


def test_a_budget_that_is_exceeded_is_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "budget.toml").write_text("[[budget]]\nsize_mb = 0.000001\n")
    words = [*QUICK, "--budget", str(tmp_path / "budget.toml"), "--out", str(tmp_path / "out")]
    result = run("bench", str(write_null(tmp_path / "net.null")), *words)
    assert result.exit_code == 1, result.output
    assert "✗" in result.stdout and "size_mb" in result.stdout


@pytest.mark.parametrize(("value", "text"), [(0.1234, "0.12"), (9.876, "9.88"), (12.34, "12.3"), (123.4, "123")])
def test_three_digits_that_mean_something(value: float, text: str) -> None:
    assert milliseconds(value) == text
