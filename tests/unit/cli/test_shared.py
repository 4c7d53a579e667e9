"""Errors as one line and an exit code, numbers with commas."""

from __future__ import annotations

import errno
import io

import pytest
import typer

from onenet.cli.shared import UNREAD, numbers, one_line_errors
from onenet.errors import CheckError, RequestError, ToolError


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (CheckError("one\n  two"), 1, "error: one two\n"),
        (RequestError("asked"), 2, "error: asked\n"),
        (ToolError("broken"), 3, "error: broken\n"),
        (OSError(errno.ENOSPC, "No space left", "out"), 3, "error: out: No space left\n"),
        (KeyboardInterrupt(), 130, "interrupted: nothing half-written was left behind\n"),
    ],
)
def test_an_error_is_one_line_and_a_code(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @one_line_errors
    def fail() -> None:
        raise error

    with pytest.raises(typer.Exit) as caught:
        fail()
    assert (caught.value.exit_code, capsys.readouterr()) == (code, ("", line))


def test_a_closed_pipe_has_its_own_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.StringIO())

    @one_line_errors
    def fail() -> None:
        raise BrokenPipeError(errno.EPIPE, "closed")

    with pytest.raises(SystemExit) as ended:
        fail()
    assert ended.value.code == UNREAD


def test_what_a_command_returns_is_kept() -> None:
    assert one_line_errors(lambda value: value + 1)(2) == 3


def test_numbers() -> None:
    assert numbers(None, "threads") is None
    assert numbers("1,2", "threads") == (1, 2)
    with pytest.raises(RequestError, match="--threads '1;2'"):
        numbers("1;2", "threads")
