"""Command-line options made from the fields of an options class."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from onenet.exporters.options import ExportOptions, FileSize, Kind, kinds, option_of

P = ParamSpec("P")


def options_of(fields: type[ExportOptions]) -> Callable[[Callable[Concatenate[ExportOptions, P], None]], Callable[..., None]]:
    """Let a command take an option for each field, and hand it all of them as one value."""

    def decorate(function: Callable[Concatenate[ExportOptions, P], None]) -> Callable[..., None]:
        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        parameters = [*(parameter(name, kind) for name, kind in kinds().items()), *own]

        def command(**given: Any) -> None:  # what typer read, by name
            rest = {each.name: given.pop(each.name) for each in own}
            options = fields(**{name: value for name, value in given.items() if value is not None})
            function(options, **rest)  # type: ignore[call-arg]  # by its own signature

        command.__doc__ = function.__doc__
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer looks at
        command.__annotations__ = {each.name: each.annotation for each in parameters}
        return command

    return decorate


def parameter(name: str, kind: Kind) -> inspect.Parameter:
    """A field as typer takes it. A list, and what may be None, is left out rather than shown with a default."""
    described = option_of(name)
    option = typer.Option(
        *described.flags,
        metavar=described.metavar,
        min=described.least,
        help=described.text,
        rich_help_panel=described.panel,
    )
    default = ExportOptions.__dataclass_fields__[name].default
    several = kind.plain not in (str, bool, int, float, Path, tuple[int, int], FileSize)
    annotation: Any = list[str] if several else str if kind.plain is FileSize else kind.plain  # it reads texts itself
    if several or kind.optional:
        annotation, default = annotation | None, None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[annotation, option])
