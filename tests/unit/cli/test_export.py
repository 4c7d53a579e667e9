"""``onenet export`` hands what was given to ``export_all``, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from onenet.base.quiet import quiet
from onenet.cli.app import app
from onenet.errors import ConversionError, RequestError
from onenet.exporters.options import ExportOptions


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


def converter_fails(*_: object) -> None:
    try:
        with quiet():
            print("last words")
            raise ValueError("wrong")
    except ValueError as error:
        raise ConversionError("it failed") from error


def test_verbose_shows_what_a_converter_printed_before_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    monkeypatch.setattr("onenet.cli.export.export_all", converter_fails)
    for words, said in ((["--verbose"], "  last words\nerror: it failed\n"), ([], "error: it failed\n")):
        result = CliRunner().invoke(app, ["export", *words])
        assert (result.exit_code, result.stdout, result.stderr) == (3, "", said)
