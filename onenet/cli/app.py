"""The command line, put together: a file of this package for each command.

Exit codes: 0 done, 1 a check failed, 2 the request is wrong, 3 a tool or device failed, 130 interrupted, 141 unread.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TextIO

import typer

from onenet.base.process import end_on_sigterm, keep_lifeline
from onenet.cli import bench, compare, doctor, export, models, report, run, verify
from onenet.cli.command import Command, Group
from onenet.cli.shared import one_line_errors

app = typer.Typer(
    name="onenet",
    cls=Group,
    help="Export a segmentation network to TFLite, ONNX and Core ML, with one int8 calibration and every artifact checked.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def add(to: typer.Typer, name: str, command: Callable[..., None], example: str, text: str | None = None) -> None:
    """A command under its name. Its docstring is its help unless a text is given, and that ends with the example."""
    to.command(name, cls=Command, help=text, epilog=f"Example:  {example}")(one_line_errors(command))


models_app = typer.Typer(cls=Group, help="List the models that can be exported, or show one.", invoke_without_command=True)
models_app.callback()(one_line_errors(models.command))
app.add_typer(models_app, name="models")
add(app, "export", export.command, export.EXAMPLE, export.HELP)
add(app, "verify", verify.command, verify.EXAMPLE)
add(app, "run", run.command, run.EXAMPLE)
add(app, "bench", bench.command, bench.EXAMPLE)
add(app, "report", report.command, report.EXAMPLE)
add(app, "compare", compare.command, compare.EXAMPLE)
add(models_app, "show", models.show_command, models.SHOW_EXAMPLE)
add(models_app, "list", models.list_command, models.LIST_EXAMPLE)
add(app, "doctor", doctor.command, doctor.EXAMPLE)


def version_callback(value: bool) -> None:
    """Print the version and end, where ``--version`` was given."""
    if value:
        from onenet import __version__

        typer.echo(f"onenet {__version__}")
        raise typer.Exit


@app.callback()
def main_callback(
    version: Annotated[  # typer calls the callback; the value is not needed here
        bool, typer.Option("--version", callback=version_callback, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The options before any command."""
    pass


def main() -> None:
    """Entry point of ``onenet``."""
    prepare()
    app()


def export_main() -> None:
    """Entry point of ``onenet-export``: ``onenet export`` under a name of its own."""
    prepare()
    alone = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode="rich")
    add(alone, "onenet-export", export.command, export.EXAMPLE, export.HELP)
    alone(prog_name=Path(sys.argv[0]).name)


def prepare() -> None:
    """However this program is ended, no child and nothing half-written stays; and it prints to any terminal, or none."""
    end_on_sigterm()
    keep_lifeline()
    sys.stdout, sys.stderr = (writable(each) for each in (sys.stdout, sys.stderr))


def writable(stream: TextIO | None) -> TextIO:
    """A stream that takes every character, as ``?`` where its encoding has none; for a closed one, one that keeps nothing."""
    if stream is None:
        return Path(os.devnull).open("w", encoding="utf-8")
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")
    return stream


if __name__ == "__main__":
    main()
