"""What importing and asking for help loads, what the package shows, and that the documents know every option."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

import onenet
from onenet.cli.app import app

HEAVY = ("torch", "onnx", "onnxruntime", "litert_torch", "ai_edge_litert", "coremltools", "torchao", "matplotlib", "yaml")
REPOSITORY = Path(__file__).parents[3]
REPORT = f"""
import atexit, json, sys
heavy = {HEAVY!r}
atexit.register(lambda: print("LOADED", json.dumps(sorted(m for m in sys.modules if m in heavy))))
"""


def loaded_by(code: str) -> tuple[list[str], str]:
    """The heavy packages that are loaded when a fresh interpreter ends, and what it printed before."""
    command = [sys.executable, "-c", REPORT + code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    printed, _, last = done.stdout.rpartition("LOADED ")
    names: list[str] = json.loads(last)
    return names, printed


def test_the_probe_sees_what_is_loaded() -> None:
    assert loaded_by("import yaml")[0] == ["yaml"]


def test_importing_loads_no_framework() -> None:
    modules = ("", ".cli.app", ".spec", ".runtimes", ".exporters", ".targets", ".models", ".cli.doctor", ".base.files")
    assert loaded_by("".join(f"import onenet{name}\n" for name in modules))[0] == []


@pytest.mark.parametrize(
    ("entry", "arguments", "shows"),
    [
        ("export_main", ["onenet-export", "--help"], "--calibration-samples"),
        ("main", ["onenet", "--help"], "verify"),
        ("main", ["onenet", "--version"], onenet.__version__),
        ("main", ["onenet", "models"], "onenet-e5"),
        ("main", ["onenet", "export", "--help"], "--no-spatial"),
    ],
)
def test_help_loads_no_framework_and_exits_with_0(entry: str, arguments: list[str], shows: str) -> None:
    names, printed = loaded_by(f"sys.argv = {arguments!r}\nfrom onenet.cli.app import {entry} as run\nrun()")
    assert names == []
    assert shows in printed


def test_a_wrong_request_is_refused_before_anything_is_loaded() -> None:
    code = """
sys.argv = ["onenet-export", "--target", "nothing"]
from onenet.cli.app import export_main
try:
    export_main()
except SystemExit as end:
    assert end.code == 2
"""
    assert loaded_by(code)[0] == []


def commands(command: Any, name: str) -> dict[str, Any]:
    """``onenet export`` -> command, sub-commands included; typer's own class in some versions, click's in others."""
    below = getattr(command, "commands", {})
    found = {name: command}
    for key, each in below.items():
        found |= commands(each, f"{name} {key}")
    return found


SECTIONS = dict(
    re.findall(
        r"^## `([^`]+)`\n(.*?)(?=^## |\Z)",
        (REPOSITORY / "docs" / "commands.md").read_text(encoding="utf-8"),
        flags=re.MULTILINE | re.DOTALL,
    )
)
"""Command -> its own part of the reference."""


COMMANDS = commands(typer.main.get_command(app), "onenet")


def test_the_commands_are_found() -> None:
    assert {"onenet export", "onenet verify", "onenet models", "onenet models show", "onenet doctor"} <= set(COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_is_documented_with_its_command(name: str) -> None:
    options = [option for each in COMMANDS[name].params for option in (*each.opts, *each.secondary_opts)]
    known = set(re.findall(r"(?<![\w-])--[a-z0-9][a-z0-9-]*", SECTIONS[name]))
    missing = [option for option in options if option.startswith("--") and option != "--help" and option not in known]
    assert not missing, f"{name}: {', '.join(missing)}"


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"onenet", "onenet models"}))
def test_every_command_s_help_ends_with_an_example(name: str) -> None:
    assert (COMMANDS[name].epilog or "").startswith("Example:")
