"""What is printed fits its reader: names as they are, a line for each step, JSON alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from onenet.base.quiet import quiet
from onenet.cli import console
from onenet.errors import ConversionError
from onenet.exporters.results import ExportedArtifact, Exports, FailedExport
from onenet.runtimes.parity import Check, Verification
from onenet.runtimes.session import RuntimeInfo


def test_names_in_brackets_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    name = "net[red].onnx"
    check = Check("inputs", False, "names [a] expected, found [/b]")
    console.print_verification(Verification(name, "onnx", "fp32", RuntimeInfo("r", "1", ""), (check,)))
    printed = capsys.readouterr().out
    assert name in printed
    assert check.detail in printed
    with console.Steps() as steps:
        steps.warn("skipped [/i].jpg")
    assert "warning: skipped [/i].jpg" in capsys.readouterr().err


def test_a_step_is_one_line_where_stderr_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with console.Steps() as steps:
        steps.start("reading", 2)
        steps.advance(1)
        steps.start("writing")
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["reading", "writing"]
    assert all(line.endswith(" s") for line in lines)


def test_a_step_that_failed_is_not_called_done(capsys: pytest.CaptureFixture[str]) -> None:
    steps = console.Steps()
    steps.start("reading")
    steps.__exit__(ValueError)
    assert capsys.readouterr().err == ""


def test_silent_steps_print_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with console.Steps(silent=True) as steps:
        steps.start("reading")
        steps.warn("skipped")
    assert capsys.readouterr() == ("", "")


def test_json_has_its_keys_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_json({"b": 1, "a": [2]})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"a": [2], "b": 1}
    assert printed.index('"a"') < printed.index('"b"')


def test_a_check_that_could_not_be_made_is_neither_right_nor_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    checks = (Check("bytes", True, ""), Check("values", None, "no kernels"), Check("labels", False, "80 %"))
    console.print_verification(Verification("net.onnx", "onnx", "fp32", RuntimeInfo("r", "1", ""), checks))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("net.onnx: FAILED")
    assert [line.split()[:2] for line in lines[2:]] == [["✓", "bytes"], ["–", "values"], ["✗", "labels"]]


def converter_fails() -> None:
    try:
        with quiet():
            print("last words of [a] converter")
            raise AttributeError("asinh")
    except AttributeError as error:
        text = (
            "converting net for coreml fp32 failed at asinh in layer blocks.0[1]: AttributeError: type object 'Builder' has no"
        )
        raise ConversionError(f"{text} attribute 'asinh'; try another target (-t tflite or -t onnx)", "asinh") from error


def exports_with_a_failure() -> Exports:
    """An artifact, and what could not be made."""
    made = ExportedArtifact(Path("build/a_rather_long_name_int8.tflite"), {"task": "segmentation"}, 968699, 13.2, None, None)
    with pytest.raises(ConversionError) as caught:
        converter_fails()
    return Exports([made], [FailedExport("coreml", "fp32", caught.value)])


@pytest.mark.parametrize("verbose", [False, True])
def test_what_failed_is_a_row_and_a_reason_within_80_columns(
    verbose: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    exports = exports_with_a_failure()
    console.print_exported(exports, verbose=verbose)
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert max(map(len, lines)) <= 80
    (row,) = [line for line in lines if line.startswith("coreml fp32 ")]
    assert row.split() == ["coreml", "fp32", "-", "-", "-", "-", "-", "failed"]
    place = next(number for number, line in enumerate(lines) if line.startswith("coreml fp32:"))
    assert " ".join(" ".join(lines[place:]).split()) == f"coreml fp32: {exports.failed[0].reason}"
    assert printed.err == ("  last words of [a] converter\n" if verbose else "")


@pytest.mark.parametrize(
    ("drawn", "says"), [("", "the own weights of make."), ("2 of 4 tensors (a, b)", "random: 2 of 4 tensors (a, b).")]
)
def test_a_factorys_own_weights_are_said(drawn: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    exports = exports_with_a_failure()
    source = {"weights": "from the factory", **({"drawn": drawn} if drawn else {})}
    exports[0].manifest.update(source=source, name="make")
    console.print_exported(exports)
    assert says in " ".join(capsys.readouterr().out.split())
    exports[0].manifest["source"] = {"weights": "last.ckpt"}
    console.print_exported(exports)
    assert "No --weights" not in capsys.readouterr().out
