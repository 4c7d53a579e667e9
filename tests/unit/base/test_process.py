"""Programs that are talked to end in time, say little enough, and leave nothing running."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from onenet.base import process
from onenet.errors import CheckError, RequestError, ToolError
from tests.conftest import HEED_CTRL_C


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


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_what_a_program_started_and_left_behind_ends_with_it() -> None:
    leaves = "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid)"
    quiet = leaves.replace(").pid", ", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid")
    done = process.converse(python(quiet), what="it", seconds=30)
    assert gone(int(done.out))


CHILD = """
import os, sys, time
from pathlib import Path
from onenet.base.process import keep_lifeline
keep_lifeline()
Path(sys.argv[1]).write_text(str(os.getpid()))
time.sleep(60)
"""
PARENT = f"""
import sys
from onenet.base.process import LIFELINE, converse
command = [sys.executable, "-c", {CHILD!r}, sys.argv[1]]
converse(command, what="it", seconds=60, hold=True, environment={{LIFELINE: "1"}})
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_program_of_ours_ends_with_who_started_it(number: signal.Signals, tmp_path: Path) -> None:
    noted = tmp_path / "pid"
    parent = subprocess.Popen([sys.executable, "-c", HEED_CTRL_C + PARENT, str(noted)], stderr=subprocess.DEVNULL)
    child = eventually(lambda: noted.is_file() and noted.read_text())
    assert not gone(int(child), seconds=0)
    parent.send_signal(number)
    assert parent.wait(30) != 0
    assert gone(int(child))


def eventually(ask: Callable[[], str | bool], seconds: float = 30) -> str:
    """The first answer that is not empty."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := ask():
            return str(answer)
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


def gone(pid: int, seconds: float = 10) -> bool:
    """Whether a process does not run, or no more before so many seconds are over."""
    end = time.monotonic() + seconds
    while runs(pid):
        if time.monotonic() >= end:
            return False
        time.sleep(0.02)
    return True


def runs(pid: int) -> bool:
    """Whether it is there, and not only waits to be noticed."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


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
