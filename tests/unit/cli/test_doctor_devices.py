"""``onenet doctor --device``: what it prints of healthy, lacking and failing devices."""

from __future__ import annotations

import pytest

from onenet.cli.doctor_devices import print_examination, run_devices
from onenet.errors import RequestError, ToolError
from onenet.runtimes.devices import Examination, Finding

REMEDY = "onenet doctor --device ssh:somebody.with.a.long.name@a-host-with-a-long-name.example --setup"


@pytest.fixture(autouse=True)
def no_ssh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONENET_SSH", "/nonexistent/ssh")
    monkeypatch.setenv("COLUMNS", "80")


def test_what_is_missing_is_shown_with_a_command_that_can_be_copied(capsys: pytest.CaptureFixture[str]) -> None:
    findings = (Finding("Python", "3.11.2"), Finding("numpy", "missing", False, REMEDY), Finding("other work", "30 %", None))
    print_examination("ssh:pi[0]", Examination({}, findings))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ssh:pi[0]"
    assert [line.split()[:2] for line in lines[2:5]] == [["✓", "Python"], ["✗", "numpy"], ["–", "other"]]
    assert lines[5] == f"numpy: {REMEDY}"


def test_a_device_that_fails_leaves_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_devices(["null"])
    assert not run_devices(["ssh:pi", "null"])
    shown = capsys.readouterr().out
    assert "✗ ssh:pi: /nonexistent/ssh cannot be started (No such file or directory); install OpenSSH" in shown
    assert shown.rstrip().splitlines()[-2] == "null"


@pytest.mark.parametrize("options", [{}, {"set_up": True}, {"clean": True}, {"set_up": True, "clean": True}])
def test_the_only_device_fails_as_it_does(options: dict[str, bool]) -> None:
    with pytest.raises(ToolError, match="cannot be started"):
        run_devices(["ssh:pi"], **options)


def test_a_wrong_name_stops_before_anything_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RequestError, match="of no known kind"):
        run_devices(["null", "toaster"])
    assert capsys.readouterr().out == ""


def test_cleaning_looks_no_further(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_devices(["null"], clean=True)
    assert capsys.readouterr().out == ""
    assert run_devices(["null"], set_up=True, clean=True)
    assert capsys.readouterr().out.startswith("null")
