"""What is printed inside ``quiet`` is not seen, and not lost where the work fails."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from onenet.base.quiet import LINES, last_lines, quiet


def test_nothing_is_seen(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet():
        print("from Python")
        os.write(2, b"from C\n")
    print("after")
    assert capfd.readouterr() == ("after\n", "")


def failing(*lines: str, raw: bytes = b"") -> None:
    with quiet():
        for line in lines:
            print(line)
        os.write(2, raw)
        print("unfinished", end="")
        raise ValueError("wrong")


def test_the_last_lines_stay_with_the_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="wrong") as caught:
        failing(*(f"line {number}" for number in range(9)), raw=b"\nfrom C \xff\n")
    assert last_lines(caught.value) == ("line 8", "from C \N{REPLACEMENT CHARACTER}", "unfinished")
    assert len(last_lines(caught.value)) == LINES
    assert capfd.readouterr() == ("", "")


def nested() -> None:
    with quiet():
        print("outside")
        failing("inside")


def test_the_nearest_one_is_asked_first() -> None:
    with pytest.raises(ValueError, match="wrong") as caught:
        nested()
    assert last_lines(caught.value) == ("inside", "unfinished")
    assert last_lines(ValueError()) == ()


def test_a_child_process_is_silent_too(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet():
        subprocess.run([sys.executable, "-c", "print('child')"], check=True)
    assert capfd.readouterr() == ("", "")
