"""What the files of the commands share: errors as one line, help texts, checks of what an option was given."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn, ParamSpec, TypeVar

import typer

from onenet.base.text import spelled_out
from onenet.errors import OneNetError, RequestError, ToolError
from onenet.runtimes import RUNTIMES

P = ParamSpec("P")
T = TypeVar("T")
UNREAD = 141
"""Exit code where nobody reads what is printed any more, as after ``| head``: that of a program that SIGPIPE ended."""


def one_line_errors(function: Callable[P, T]) -> Callable[P, T]:
    """A user's mistake is one line on stderr and an exit code, never a traceback."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            result = function(*args, **kwargs)
            sys.stdout.flush()  # here, where a pipe that nobody reads is still an error
            return result
        except OneNetError as error:
            print_error(str(error))
            for line in error.details:
                typer.echo(f"  {line}", err=True)
            raise typer.Exit(error.exit_code) from None
        except OSError as error:  # a file system that fails where nothing nearer expects it
            if error.errno == errno.EPIPE:
                nobody_reads()
            print_error(f"{error.filename or 'the file system'}: {error.strerror or error}")
            raise typer.Exit(ToolError.exit_code) from None
        except KeyboardInterrupt:
            typer.secho("interrupted: nothing half-written was left behind", fg="red", err=True)
            raise typer.Exit(130) from None

    return wrapped


def nobody_reads() -> NoReturn:
    """End quietly where a pipe behind stdout is closed. Python would write to it once more at its end, so it leads nowhere."""
    with contextlib.suppress(OSError, ValueError):  # no file of the system: a test runner's
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(UNREAD)


def print_error(text: str) -> None:
    """One line, whatever a file name or another library's message holds."""
    typer.secho("error: " + spelled_out(" ".join(text.split())), fg="red", err=True)


def need(extra: str, *packages: str) -> None:
    """
    Raises:
        ToolError: a package is missing; says which extra brings it.
    """
    from onenet.base.host import require

    for package in packages:
        require(package, extra)


def numbers(text: str | None, option: str) -> tuple[int, ...] | None:
    """``1,2,4``.

    Raises:
        RequestError: it is not numbers with commas between them.
    """
    try:
        return None if text is None else tuple(int(part) for part in text.split(","))
    except ValueError:
        raise RequestError(f"--{option} {text!a:.100} is no list of numbers; write 1 or 1,2,4") from None


def one_of(names: Sequence[str]) -> str:
    """``.tflite, .onnx or .mlpackage``."""
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else ""


def runtime_help() -> str:
    """Of ``--runtime`` where files are opened on this machine."""
    names = [name for name, card in RUNTIMES.cards().items() if card.open and card.packages]
    return f"Runtime where several open a format: {one_of(names)}. Default: the first that is installed."
