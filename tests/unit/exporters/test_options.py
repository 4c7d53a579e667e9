"""The fields of ``ExportOptions``: what they take, and that the command line asks for the same."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer

from onenet.cli.app import app
from onenet.errors import RequestError
from onenet.exporters.options import ExportOptions, kinds, long_name, option_of

COMMAND: Any = typer.main.get_command(app).commands["export"]  # type: ignore[attr-defined]  # a group


def test_defaults_are_the_command_s() -> None:
    options = ExportOptions()
    assert (list(options.target), options.precisions) == (["tflite"], ["fp32"])
    assert (options.out, options.verify, options.preview, options.winograd) == (Path("build"), True, False, True)


def test_int8_is_one_more_precision() -> None:
    assert ExportOptions(int8=True).precisions == ["int8"]
    assert ExportOptions(int8=True, precision=("fp32", "w8")).precisions == ["fp32", "w8", "int8"]


def test_one_stands_for_a_list_and_a_text_for_a_path() -> None:
    options = ExportOptions(target="onnx", out="there", input_size=[3, 4], max_drop=1)  # type: ignore[arg-type]
    assert options == ExportOptions(target=("onnx",), out=Path("there"), input_size=(3, 4), max_drop=1.0)
    assert isinstance(options.max_drop, float)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"targt": "x"}, "'targt' is no option of an export; did you mean target"),
        ({"--x; rm": "x"}, "'--x; rm' is no option of an export"),
        ({"calibration_samples": 4}, "did you mean calibration-samples"),
        ({"int8": 1}, "int8 takes true or false, found 1"),
        ({"width": 0}, "width takes a whole number from 1, found 0"),
        ({"width": True}, "width takes a whole number from 1, found True"),
        ({"max-drop": -1}, "max-drop takes a number from 0, found -1"),
        ({"min-sqnr": "34"}, "min-sqnr takes a number, found '34'"),
        ({"target": ["onnx", 1]}, r"target takes a text or a list of texts, found \['onnx', 1\]"),
        ({"input-size": [1, 2, 3]}, r"input-size takes two whole numbers, found \[1, 2, 3\]"),
        ({"out": 3}, "out takes a path, found 3"),
        ({"model": None}, "model takes a text, found None"),
    ],
)
def test_an_entry_is_held_against_the_fields(entry: dict[str, object], says: str) -> None:
    with pytest.raises(RequestError, match=says):
        ExportOptions.from_entry(entry)


def test_an_entry_has_the_long_names() -> None:
    entry = {"calibration-samples": 4, "no-spatial": True, "evaluation": None, "precision": []}
    assert ExportOptions.from_entry(entry) == ExportOptions(calibration_samples=4, no_spatial=True)


def test_every_field_is_an_option_of_the_command_in_its_order() -> None:
    asked = {parameter.name: parameter for parameter in COMMAND.params if parameter.name not in ("help", "json")}
    assert list(asked) == [field.name for field in fields(ExportOptions)] == list(kinds())
    for name, parameter in asked.items():
        described = option_of(name)
        assert f"--{long_name(name)}" in parameter.opts
        assert (parameter.help, parameter.rich_help_panel) == (described.text, described.panel)
        assert described.text.endswith("."), name


def test_the_command_hands_on_what_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    seen: list[ExportOptions] = []

    def stop(options: ExportOptions, _: object) -> None:
        seen.append(options)
        raise RequestError("enough")

    monkeypatch.setattr("onenet.cli.export.export_all", stop)
    words = "-t onnx -t tflite -p w8 --input-size 3 4 --no-winograd --out x --min-sqnr 3 --no-verify --classes 2"
    assert CliRunner().invoke(app, ["export", *words.split()]).exit_code == 2
    given = dict(target=("onnx", "tflite"), precision=("w8",), input_size=(3, 4), winograd=False, out=Path("x"))
    assert seen == [ExportOptions(**given, min_sqnr=3, verify=False, classes=2)]  # type: ignore[arg-type]
