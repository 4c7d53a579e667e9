"""What is printed: to terminals of few characters, to nobody, and nothing that a terminal would obey."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from onenet.base.text import spelled_out
from onenet.cli.app import app
from onenet.cli.console import Console, plain_table

PROGRAM = [sys.executable, "-c", "from onenet.cli.app import main; main()"]
ORDERS = "\x1b]0;title\x9b31m\x7f\u202e\ud800"
"""A title, a colour, a deletion, text from right to left, half a character."""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_of_few_characters_gets_others_in_their_place(encoding: str) -> None:
    done = subprocess.run([*PROGRAM, "doctor"], capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding})
    assert done.returncode in (0, 3) and not done.stderr
    assert done.stdout.decode(encoding)


def test_nobody_reads_on() -> None:
    done = subprocess.run(["bash", "-c", '"$0" "$@" | true; echo ${PIPESTATUS[0]}', *PROGRAM, "models"], capture_output=True)
    assert (done.stdout.strip(), done.stderr) == (b"141", b"")


def test_stdout_is_closed() -> None:
    done = subprocess.run(["bash", "-c", '"$0" "$@" >&-', *PROGRAM, "models"], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_terminal_obeys_nothing_that_is_printed() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=200)
    table = plain_table("a", "b")
    table.add_row(ORDERS, "[red]red[/red]")
    for each in (ORDERS, table, f"[green]{ORDERS}[/green]", ":warning: stays"):
        console.print(each)
    said = file.getvalue()
    assert said.count(spelled_out(ORDERS)) == 3 and ":warning:" in said
    assert "\x1b[31mred" in said  # a colour of ours is none of its
    assert not any(order in said for order in ("\x1b]", "\x9b", "\x7f", "\u202e"))


def test_so_does_an_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["verify", str(tmp_path / "\x1b[31m\x07.onnx")])
    assert result.exit_code == 2
    assert "\\x1b[31m\\x07.onnx" in result.stderr and "\x1b" not in result.stderr
