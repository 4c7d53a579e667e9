"""``onenet run`` prints what ``onenet.run`` returns."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from onenet.cli.app import app
from onenet.spec import numbered_classes
from tests.null_artifact import write_null


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    path = write_null(tmp_path / "net.null", task="segmentation", classes=[asdict(each) for each in numbered_classes(2)])
    return ["run", str(path), str(tmp_path / "a.png")]


def test_a_table(arguments: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "a.mask.png" in result.stdout and "whole" in result.stdout
    assert (tmp_path / "out" / "a.mask.png").exists()


def test_one_json_document(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, [*arguments, "--json", "--threads", "1"])
    document = json.loads(result.stdout)
    assert (document["artifact"], document["threads"], document["runtime"]["name"]) == ("net.null", 1, "null")
    assert [each["tiles"] for each in document["images"]] == [1]


def test_a_runtime_that_there_is_not(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, [*arguments, "--runtime", "nothing"])
    assert result.exit_code == 2
    assert "nothing" in result.stderr
