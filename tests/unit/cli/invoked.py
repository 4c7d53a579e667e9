"""A command as a user calls it, and one that is refused."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from onenet.cli.app import app


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def refused(*arguments: str, code: int = 2) -> str:
    """The one line on stderr of a request that is refused."""
    result = run(*arguments)
    lines = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == 1, result.stderr
    assert result.stderr.endswith(lines[0] + "\n")
    assert "Traceback" not in result.output
    assert result.stdout == ""
    assert result.exit_code == code
    return lines[0]
