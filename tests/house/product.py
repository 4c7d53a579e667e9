"""The product's modules, read as text: nothing here is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
ROOMS = {
    "onenet": "onenet",
    "calibration": "onenet.calibration",
    "export": "onenet.exporters",
    "runtimes": "onenet.runtimes",
}
"""Top-level folder -> import name, as in pyproject.toml."""


@dataclass(frozen=True)
class Module:
    """One file of the product.

    Attributes:
        name: As it is imported, "onenet.base.files".
        path: From the repository's root, "onenet/base/files.py".
        text: Its source.
    """

    name: str
    path: Path
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed source."""
        return ast.parse(self.text)

    @property
    def is_package(self) -> bool:
        """Whether it is an ``__init__.py``."""
        return self.path.name == "__init__.py"


def read(repository: Path = REPOSITORY) -> dict[str, Module]:
    """Every module of the product in this checkout, by its import name."""
    return {module.name: module for module in modules(repository)}


@cache
def product() -> dict[str, Module]:
    """The modules of this checkout, parsed once."""
    return read()


def modules(repository: Path) -> Iterator[Module]:
    """Every module of the product, in the order of the folders."""
    for folder, package in ROOMS.items():
        for file in sorted((repository / folder).rglob("*.py")):
            inside = file.relative_to(repository / folder).with_suffix("").parts
            parts = [package, *(inside[:-1] if inside[-1] == "__init__" else inside)]
            yield Module(".".join(parts), file.relative_to(repository), file.read_text(encoding="utf-8"))
