"""Every export that README and docs show is one that the command line takes, and every ``model.toml`` one that is read."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from onenet.exporters.options import ExportOptions
from onenet.models.facts import Facts, read_beside
from tests.house.product import REPOSITORY
from tests.unit.cli.invoked import run

PAGES = sorted(
    path for path in (REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md")) if "benchmarks" not in path.parts
)
COMMAND = re.compile(r"^(?: {4}|\$ |)((?:onenet-export|onenet export) -(?:.*\\\n)*.*)$", re.MULTILINE)
TOML = re.compile(r"```toml\n(.*?)```", re.DOTALL)


def commands(page: Path) -> list[str]:
    """Exports in a page's code, continued lines joined."""
    return [re.sub(r"\s*\\\n\s*", " ", found) for found in COMMAND.findall(page.read_text(encoding="utf-8"))]


SHOWN = [pytest.param(text, id=f"{page.stem}-{place}") for page in PAGES for place, text in enumerate(commands(page))]


def test_commands_are_found() -> None:
    assert len(SHOWN) > 25
    assert sum("bring-your-own" in str(each.id) for each in SHOWN) >= 5


@pytest.mark.parametrize("text", SHOWN)
def test_a_command_is_taken(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Read(Exception):
        """The command line was read."""

    def stop(options: ExportOptions, *_: object) -> None:
        Facts.read(options.facts, "the options")
        raise Read

    monkeypatch.setattr("onenet.cli.export.export_all", stop)
    words = shlex.split(text, comments=True)
    result = run("export", *(words[1:] if words[0] == "onenet-export" else words[2:]))
    assert isinstance(result.exception, Read), result.output


def test_the_description_of_a_network_is_read(tmp_path: Path) -> None:
    (text,) = TOML.findall((REPOSITORY / "docs" / "bring-your-own.md").read_text(encoding="utf-8"))
    (tmp_path / "model.toml").write_text(text)
    (tmp_path / "colours.txt").write_text("#000000\n0 128 255\n#ff0000\n")
    said = read_beside(tmp_path / "model.toml")
    assert said.model == f"{tmp_path / 'net.py'}:make" and said.weights == tmp_path / "last.ckpt"
    assert said.facts.input_size == (320, 240) and said.facts.palette == ("#000000", "#0080ff", "#ff0000")
