"""The options of a command are the fields of its options class."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import typer

from onenet.cli.app import app
from onenet.exporters.options import ExportOptions, kinds, long_name, option_of

COMMAND: Any = typer.main.get_command(app).commands["export"]  # type: ignore[attr-defined]  # a group


def test_every_field_is_an_option_of_the_command_in_its_order() -> None:
    own = ("help", "json", "verbose")  # how it is printed
    asked = {parameter.name: parameter for parameter in COMMAND.params if parameter.name not in own}
    assert list(asked) == [field.name for field in fields(ExportOptions)] == list(kinds())
    for name, parameter in asked.items():
        described = option_of(name)
        assert f"--{long_name(name)}" in parameter.opts
        assert (parameter.help, parameter.rich_help_panel) == (described.text, described.panel)
        assert described.text.endswith("."), name
