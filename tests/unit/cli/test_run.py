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


def test_a_bad_image_is_a_row_and_the_others_are_done(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    more = [str(tmp_path / "bad.png"), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, [*arguments, *more])
    assert result.exit_code == 3
    assert "a.mask.png" in result.stdout and "failed  bad.png: " in result.stdout
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["a.mask.png"]
    document = json.loads(CliRunner().invoke(app, [*arguments, *more, "--json"]).stdout)
    assert [each.get("failed", {}).get("error") for each in document["images"]] == [None, "ImageError"]


def test_where_every_image_is_bad_there_is_a_table_all_the_same(arguments: list[str], tmp_path: Path) -> None:
    for name in ("x.png", "y.png"):
        (tmp_path / name).write_bytes(b"no image")
    result = CliRunner().invoke(app, [*arguments[:2], str(tmp_path / "x.png"), str(tmp_path / "y.png")])
    assert result.exit_code == 3
    assert result.stdout.count("failed") == 2


def test_a_single_bad_image_is_one_line(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    result = CliRunner().invoke(app, [*arguments[:2], str(tmp_path / "bad.png")])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.rstrip().splitlines()[-1].startswith("error: ")
