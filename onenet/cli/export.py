"""``onenet export``: ``onenet.export_all`` with progress and a summary. Its options are the fields of ``ExportOptions``."""

from __future__ import annotations

from typing import Annotated

import typer

from onenet.base.quiet import last_lines
from onenet.cli import console
from onenet.cli.options import options_of
from onenet.errors import OneNetError
from onenet.exporters.batch import export_all
from onenet.exporters.options import RESULT, ExportOptions

HELP = (
    "Export a trained network as verified TFLite, ONNX or Core ML files.\n\n"
    "Without options it exports the shipped nuclei segmentation model. The network is lowered exactly, quantized once for "
    "all targets, converted, run against the float model, and written with a manifest."
)
EXAMPLE = "onenet-export --target tflite --int8"
Verbose = Annotated[
    bool,
    typer.Option("--verbose", rich_help_panel=RESULT, help="Of what failed, also the last lines that its converter printed."),
]
Json = Annotated[bool, typer.Option("--json", rich_help_panel=RESULT, help="Print one JSON document instead of tables.")]


@options_of(ExportOptions)
def command(options: ExportOptions, *, verbose: Verbose = False, json: Json = False) -> None:
    """See ``HELP``."""
    try:
        with console.Steps(silent=json) as steps:
            exports = export_all(options, steps)
    except OneNetError as error:
        if verbose:
            console.print_lines(last_lines(error))
        raise
    if json:
        console.print_json([each.as_dict() for each in (*exports, *exports.failed)])
    else:
        console.print_exported(exports, verbose=verbose)
    if exports.failed:
        raise typer.Exit(exports.exit_code)
