"""``onenet verify``: what it refuses, prints and returns."""

from __future__ import annotations

import json
from pathlib import Path

from tests.null_artifact import write_null
from tests.unit.cli.invoked import refused, run


def test_errors_of_verify(tmp_path: Path) -> None:
    assert "artifact nothing.onnx does not exist" in refused("verify", "nothing.onnx")
    (tmp_path / "net.pt").touch()
    assert "no runtime opens net.pt: suffix '.pt'; supported: .tflite" in refused("verify", str(tmp_path / "net.pt"))


def test_an_error_is_one_line_whatever_it_holds(tmp_path: Path) -> None:
    assert "two lines.onnx does not exist" in refused("verify", str(tmp_path / "two\nlines.onnx"))


def test_one_that_holds(tmp_path: Path) -> None:
    result = run("verify", str(write_null(tmp_path / "net.null")))
    assert (result.exit_code, result.stderr) == (0, "")
    assert "net.null: verified  (null fp32, null 1)" in result.stdout
    assert "try:" not in result.stdout


def test_one_that_computes_something_else_has_a_hint(tmp_path: Path) -> None:
    paths = [str(write_null(tmp_path / "good.null")), str(write_null(tmp_path / "bad.null", right=False))]
    result = run("verify", *paths)
    assert result.exit_code == 1
    assert "good.null: verified" in result.stdout and "bad.null: FAILED" in result.stdout
    assert result.stdout.count("try: ") == 1 and "`onenet verify --layers` names the first layer" in result.stdout
    good, bad = json.loads(run("verify", *paths, "--json").stdout)
    assert (good["passed"], good["hints"], bad["passed"], len(bad["hints"])) == (True, [], False, 1)


def test_what_belongs_to_layers_needs_it(tmp_path: Path) -> None:
    path = str(write_null(tmp_path / "net.null"))
    assert "--all belongs to --layers; give both" in refused("verify", path, "--all")
    assert "--weights belongs to --layers" in refused("verify", path, "--weights", "w.pt")
