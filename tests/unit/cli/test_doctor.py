"""``onenet doctor``: what is missing, and what is not the version that was tested."""

from __future__ import annotations

import json

import pytest

from onenet.cli import doctor
from tests.unit.cli.invoked import refused, run


def line(what: str, output: str) -> str:
    return next(each for each in output.splitlines() if what in each)


def test_another_converter_than_was_tested_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(doctor, "tested", lambda package: "2.0" if package == "onnxscript" else None)
    monkeypatch.setattr(doctor, "installed", lambda _: "2.0+cpu")
    assert run("doctor").exit_code == 0
    monkeypatch.setattr(doctor, "installed", lambda _: "2.1")
    result = run("doctor")
    assert result.exit_code == 3
    assert "✗" in line("export onnx", result.stdout) and "onnxscript 2.1, tested 2.0" in line("export onnx", result.stdout)
    assert "✓" in line("run .onnx", result.stdout)


def test_what_is_missing_is_named_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(doctor, "tested", lambda _: None)
    monkeypatch.setattr(doctor, "installed", lambda package: None if package == "matplotlib" else "1.0")
    result = run("doctor")
    assert result.exit_code == 0
    assert line("draw previews", result.stdout).split() == ["–", "draw", "previews", "missing:", "matplotlib"]


def test_what_is_done_to_a_device_needs_one() -> None:
    assert "--setup is done to a device; give --device as well" in refused("doctor", "--setup")
    assert "--clean is done to a device" in refused("doctor", "--clean")


def test_json_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "tested", lambda package: "2.0" if package == "onnxscript" else None)
    monkeypatch.setattr(doctor, "installed", lambda package: None if package == "matplotlib" else "2.1")
    result = run("doctor", "--json")
    assert result.exit_code == 3
    found = json.loads(result.stdout)
    lines = {each["what"]: each for each in found["needs"]}
    assert found["healthy"] is False
    assert lines["draw previews"]["missing"] == ["matplotlib"]
    assert lines["export onnx"]["wrong"] == ["onnxscript 2.1, tested 2.0"]
    assert "--json is of this machine" in refused("doctor", "--json", "--device", "local")
