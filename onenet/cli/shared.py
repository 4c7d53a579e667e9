"""What the files of the commands share: errors as one line, help texts, checks of what an option was given."""

from __future__ import annotations

import errno
import functools
from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

import typer

from onenet.errors import OneNetError, RequestError, ToolError
from onenet.runtimes import RUNTIMES

P = ParamSpec("P")
T = TypeVar("T")


def one_line_errors(function: Callable[P, T]) -> Callable[P, T]:
    """A user's mistake is one line on stderr and an exit code, never a traceback."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except OneNetError as error:
            print_error(str(error))
            raise typer.Exit(error.exit_code) from None
        except OSError as error:  # a file system that fails where nothing nearer expects it; a closed pipe is typer's
            if error.errno == errno.EPIPE:
                raise
            print_error(f"{error.filename or 'the file system'}: {error.strerror or error}")
            raise typer.Exit(ToolError.exit_code) from None
        except KeyboardInterrupt:
            typer.secho("interrupted: nothing half-written was left behind", fg="red", err=True)
            raise typer.Exit(130) from None

    return wrapped


def print_error(text: str) -> None:
    """One line, whatever a file name or another library's message holds."""
    typer.secho("error: " + " ".join(text.split()), fg="red", err=True)


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
