"""Converters print progress, harmless warnings and C++ log lines; a user should see ours only.

What they printed and logged before they failed is kept with the error: it often says more than the error does.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from typing import IO, TextIO

from onenet.base.text import without_style

LINES = 20
"""Last lines that are kept with an error."""
LONGEST = 1 << 14
"""Bytes of output that are looked at for them."""
PRINTED = "_printed_before"
"""Attribute of an error that holds them."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence Python's and the process's own stdout and stderr. ``last_lines`` of an error says what was printed."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    with contextlib.ExitStack() as stack:
        held = stack.enter_context(tempfile.TemporaryFile())
        # Python's streams and the process's share one file, so that lines keep their order.
        text = stack.enter_context(open(held.fileno(), "w", buffering=1, encoding="utf-8", errors="replace", closefd=False))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(logged_to(text))
        os.dup2(held.fileno(), 1)
        os.dup2(held.fileno(), 2)
        try:
            with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
                yield
        except Exception as error:
            text.flush()
            keep_lines(error, held)
            raise
        finally:
            for copy, original in zip(saved, (1, 2)):
                os.dup2(copy, original)
                os.close(copy)


@contextlib.contextmanager
def logged_to(stream: TextIO) -> Iterator[None]:
    """Write what is logged, by whichever logger, to a stream, and to no handler.

    Handlers hold the stderr of the time when they were made, or a file of the user's. So they are passed over as a whole.
    """
    original, handler = logging.Logger.callHandlers, logging.StreamHandler(stream)

    def write(_: logging.Logger, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            handler.handle(record)

    handle_by(write)
    try:
        yield
    finally:
        handle_by(original)


def handle_by(function: Callable[[logging.Logger, logging.LogRecord], None]) -> None:
    """Give every record that is logged from now on to a function."""
    logging.Logger.callHandlers = function  # type: ignore[method-assign, assignment]


def keep_lines(error: Exception, held: IO[bytes]) -> None:
    """Keep the last lines with the error, unless a ``quiet`` nearer to it has done so."""
    if last_lines(error):
        return
    held.seek(max(0, held.seek(0, os.SEEK_END) - LONGEST))
    lines = [line.strip() for line in without_style(held.read().decode("utf-8", "replace")).splitlines()]
    with contextlib.suppress(AttributeError, TypeError):  # a class of error that takes no attributes
        setattr(error, PRINTED, tuple(line for line in lines if line)[-LINES:])


def last_lines(error: BaseException | None) -> tuple[str, ...]:
    """What was printed last inside the ``quiet`` that an error, or what it was raised from, left; empty for nothing."""
    while error is not None:
        lines: tuple[str, ...] = getattr(error, PRINTED, ())
        if lines:
            return lines
        error = error.__cause__
    return ()
