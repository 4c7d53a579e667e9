"""What is printed fits its reader: names as they are, a line for each step, JSON alone."""

from __future__ import annotations

import json

import pytest

from onenet.cli import console
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
