"""Programs that are talked to end in time, say little enough, and leave nothing running."""

from __future__ import annotations

import signal
import sys
import time

import pytest

from onenet.base import process
from onenet.errors import CheckError, RequestError, ToolError


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_line_in_and_an_answer_out() -> None:
    done = process.converse(python("print(input()[::-1])"), b"abc\n", what="it", seconds=30)
    assert (done.code, done.out) == (0, b"cba\n")


def test_one_that_takes_too_long_is_ended() -> None:
    start = time.monotonic()
    with pytest.raises(ToolError, match="it"):
        process.converse(python("import time; time.sleep(60)"), what="it", seconds=0.5)
    assert time.monotonic() - start < 30
    assert not process.RUNNING


def test_one_that_says_too_much_is_ended() -> None:
    with pytest.raises(ToolError, match="it"):
        process.converse(python("print('a' * 5000)"), what="it", seconds=30, largest=1000)


def test_no_such_program() -> None:
    with pytest.raises(ToolError, match="it: /nowhere cannot be started"):
        process.converse(["/nowhere"], what="it", seconds=1)


def test_an_agent_answers_with_an_object() -> None:
    echo = python("import json, sys; print(json.dumps({'got': json.loads(sys.stdin.readline())}))")
    assert process.ask(echo, {"do": "it"}, what="the agent", seconds=30) == {"got": {"do": "it"}}


@pytest.mark.parametrize(
    ("done", "kind", "says"),
    [
        (process.Done(0, b'{"error": "CheckError", "text": "two\\nlines"}', ""), CheckError, "two lines"),
        (process.Done(0, b'{"error": "RequestError", "text": "wrong"}', ""), RequestError, "wrong"),
        (process.Done(0, b'{"error": "SystemExit", "text": "odd"}', ""), ToolError, "odd"),
        (process.Done(0, b"[1]", ""), ToolError, "a JSON list, not an object"),
        (process.Done(3, b"", "Segmentation"), ToolError, r"gave no answer \(exit code 3\): Segmentation"),
        (process.Done(-signal.SIGKILL, b"", ""), ToolError, "memory runs out"),
        (process.Done(-signal.SIGSEGV, b"{", ""), ToolError, "ended with SIGSEGV"),
    ],
)
def test_other_answers_are_errors(done: process.Done, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says):
        process.parse_answer(done, "the agent")
