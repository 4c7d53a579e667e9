"""Commands as typer has them, but: usage errors on one line, no types of flags in help, one number for a pair."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ParamSpec, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from onenet.cli.shared import print_error
from onenet.errors import RequestError

NUMBER = re.compile(r"\d+")
PAIRED = ("--input-size",)
"""Options of two numbers, of which one stands for both."""
SHOWS_HELP = "NoArgsIsHelpError"
"""Typer's exception where a group is called without a command."""


P = ParamSpec("P")
R = TypeVar("R")


def one_line(method: Callable[P, R]) -> Callable[P, R]:
    """A method of typer's that tells a usage error on one line."""

    @functools.wraps(method)
    def told(*arguments: P.args, **options: P.kwargs) -> R:
        with usage_errors():
            return method(*arguments, **options)

    return told


def without_types(method: Callable[P, list[R]]) -> Callable[P, list[R]]:
    """``get_params`` whose help shows no type of a flag, which has no value, and of an argument, whose name says it."""

    @functools.wraps(method)
    def params(*arguments: P.args, **options: P.kwargs) -> list[R]:
        found = method(*arguments, **options)
        for param in found:
            if getattr(param, "param_type_name", "") == "argument":
                setattr(param, "display_type_rich", no_type)  # noqa: B010  # typer's classes are private
            elif getattr(param, "is_flag", False) and getattr(param, "metavar", None) is None:
                setattr(param, "metavar", "")  # noqa: B010
        return found

    return params


def no_type(ctx: object) -> None:
    """What typer asks an argument for."""
    del ctx


class Command(TyperCommand):
    """A command."""

    make_context = one_line(TyperCommand.make_context)
    get_params = without_types(TyperCommand.get_params)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments, a single number of a pair as both."""
        return super().parse_args(ctx, doubled(args))


class Group(TyperGroup):
    """A command with commands below it."""

    make_context = one_line(TyperGroup.make_context)
    get_params = without_types(TyperGroup.get_params)

    def invoke(self, ctx: Any) -> Any:
        """Find the command, and do it."""
        with usage_errors():
            return super().invoke(ctx)


@contextlib.contextmanager
def usage_errors() -> Iterator[None]:
    """
    Raises:
        typer.Exit: the command line was wrong; one line has said so.
    """
    try:
        yield
    except Exception as error:  # typer's own classes are private
        if not hasattr(error, "format_message") or type(error).__name__ == SHOWS_HELP:
            raise
        path = getattr(getattr(error, "ctx", None), "command_path", "onenet")
        print_error(f"{str(error.format_message()).rstrip('.')}; see {path} --help")
        raise typer.Exit(RequestError.exit_code) from None


def doubled(args: Sequence[str]) -> list[str]:
    """``--input-size 64`` as ``--input-size 64 64``; so are ``64x48`` and ``64,48``, with or without ``=``."""
    result: list[str] = []
    for place, arg in enumerate(args):
        name, equals, value = arg.partition("=")
        if name in PAIRED and equals:
            result += [name, *pair(value)]
        elif place and args[place - 1] in PAIRED:
            following = args[place + 1 : place + 2]
            result += [arg] if following and NUMBER.fullmatch(following[0]) else pair(arg)
        else:
            result.append(arg)
    return result


def pair(value: str) -> list[str]:
    """Two numbers of ``64``, ``64x48`` or ``64,48``; any other value twice, to be refused by its name."""
    parts = re.split("[x,]", value)
    return parts if len(parts) == 2 else [value, value]
