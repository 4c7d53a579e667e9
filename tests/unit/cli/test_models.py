"""``onenet models``: the list, and one model shown."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from onenet.cli.app import app
from onenet.models import REGISTRY
from tests.unit.cli.invoked import refused, run


def test_the_list() -> None:
    result = CliRunner().invoke(app, ["models"])
    assert result.exit_code == 0
    assert all(name in result.stdout for name in REGISTRY)


def test_one_model() -> None:
    result = CliRunner().invoke(app, ["models", "show", "onenet-ed4"])
    assert result.exit_code == 0, result.output
    assert "task    segmentation" in result.stdout
    document = json.loads(CliRunner().invoke(app, ["models", "show", "onenet-ed4", "--json"]).stdout)
    assert (document["task"], document["lowering"]) == ("segmentation", None)


def test_models_fits_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = run("models")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert all(len(line) <= 80 for line in lines)
    for entry in REGISTRY.values():
        line = next(line for line in lines if line.startswith(f"{entry.name} "))
        assert ("shipped" if entry.weights else "yours") in line
    assert lines[-1] == "Any other network: --model path/to/file.py:factory"


def test_the_table_of_sizes_fits_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = run("models", "--table")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert all(len(line) <= 80 for line in lines)
    (first,) = (line for line in lines if line.startswith("onenet-e4 "))
    (second,) = (line for line in lines if line.startswith("onenet-e4, width 16 "))
    assert len(second.split()) == 3 + 8
    assert first.split() == ["onenet-e4", "16.39", "16.39", "65.43", "78.42", "78.42", "639.63", "639.63"]
    assert {line.split()[0] for line in lines if line} >= set(REGISTRY)


def test_models_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = run("models", "show", "onenet-ed5")
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert "36.38 M parameters, weights: random" in shown.stdout
    document = json.loads(run("models", "show", "onenet-ed4", "--json").stdout)
    assert document["name"] == "onenet-ed4"
    assert document["lowering"] is None
    assert "model 'nothing' is not known" in refused("models", "show", "nothing")
