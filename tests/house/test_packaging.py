"""The wheel holds everything: every package and every file that is read beside the code."""

from __future__ import annotations

import fnmatch
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.house.product import REPOSITORY, ROOMS, product

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NOT_SHIPPED = ("__pycache__", "*.pyc", "README.md")
"""Beside the code, and of no use without the checkout."""


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_package_is_listed(project: dict[str, Any]) -> None:
    packages = {module.name for module in product().values() if module.is_package}
    assert set(project["tool"]["setuptools"]["packages"]) == packages


def test_every_file_beside_the_code_is_listed(project: dict[str, Any]) -> None:
    data = project["tool"]["setuptools"]["package-data"]
    missing = []
    for room, package in ROOMS.items():
        for file in sorted((REPOSITORY / room).rglob("*")):
            inside = file.relative_to(REPOSITORY / room)
            if (
                file.is_dir()
                or file.suffix == ".py"
                or any(fnmatch.fnmatch(part, p) for part in inside.parts for p in NOT_SHIPPED)
            ):
                continue
            name = ".".join([package, *inside.parts])
            if not any(
                name.startswith(f"{owner}.")
                and fnmatch.fnmatch(name[len(owner) + 1 :], pattern.replace("**/", "*").replace("/", "."))
                for owner, patterns in data.items()
                for pattern in patterns
            ):
                missing.append(file.relative_to(REPOSITORY).as_posix())
    assert missing == []


def test_files_that_older_pythons_run_are_linted_for_them(project: dict[str, Any]) -> None:
    """A pattern that matches nothing guards nothing."""
    for pattern in project["tool"]["ruff"]["per-file-target-version"]:
        head, brace, rest = pattern.partition("{")
        names, _, tail = rest.partition("}")
        choices = [head + name + tail for name in names.split(",")] if brace else [pattern]
        for choice in choices:
            assert list(Path(REPOSITORY).glob(choice)), choice
