"""What is printed inside ``quiet`` is not seen, and not lost where the work fails."""

from __future__ import annotations

import logging
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
        failing(*(f"line {number}" for number in range(30)), raw=b"\nfrom C \xff\n")
    assert last_lines(caught.value)[-3:] == ("line 29", "from C \N{REPLACEMENT CHARACTER}", "unfinished")
    assert len(last_lines(caught.value)) == LINES == 20
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


def logging_and_failing(logger: logging.Logger) -> None:
    with quiet():
        logger.debug("too much")
        logger.error("\n\nERROR - converting '%s' op\n", "asinh")
        raise ValueError("wrong")


def test_what_is_logged_is_kept_too_and_reaches_no_handler(capfd: pytest.CaptureFixture[str]) -> None:
    logger, heard = logging.getLogger("converter"), list[str]()
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    try:
        with pytest.raises(ValueError, match="wrong") as caught:
            logging_and_failing(logger)
        logger.error("after")
    finally:
        logger.removeHandler(handler)
    assert last_lines(caught.value) == ("ERROR - converting 'asinh' op",)
    assert heard == ["after"]
    assert capfd.readouterr() == ("", "")


def test_of_what_is_made_for_a_terminal_the_last_state_is_kept() -> None:
    with pytest.raises(ValueError, match="wrong") as caught:
        failing("0 %\r50 %\r", "\x1b[96mblue\x1b[0m")
    assert last_lines(caught.value) == ("50 %", "blue", "unfinished")


def failing_from() -> None:
    try:
        failing("inside")
    except ValueError as error:
        raise KeyError("ours") from error


def test_an_error_has_the_lines_of_what_it_was_raised_from() -> None:
    with pytest.raises(KeyError) as caught:
        failing_from()
    assert last_lines(caught.value) == ("inside", "unfinished")
