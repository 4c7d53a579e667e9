"""Imports go one way. DESIGN of the order: tests/house/imports.py; docs/design.md, *Rooms*, says it in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house.imports import FACADE, Arrow, against, arrows, circles, level_of
from tests.house.product import Module, product

KNOWN: dict[tuple[str, str], str] = {}
"""Temporary: arrows that run the wrong way, with the reason. Empty when the house is finished."""


def all_arrows() -> list[Arrow]:
    modules = product()
    return [arrow for module in modules.values() for arrow in arrows(module, set(modules))]


def module(name: str, text: str, file: str = "module.py") -> Module:
    return Module(name, Path(file), text)


def test_every_module_has_a_level() -> None:
    assert {name for name in product() if name != FACADE and level_of(name) < 0} == set()


def test_imports_go_one_way() -> None:
    wrong = {(arrow.source, arrow.target): f"line {arrow.line}: {against(arrow)}" for arrow in all_arrows() if against(arrow)}
    new = [f"{source} -> {target}, {why}" for (source, target), why in wrong.items() if (source, target) not in KNOWN]
    assert not new, "\n".join(new)
    assert not set(KNOWN) - set(wrong), "mended: take it out of KNOWN"


def test_no_circle() -> None:
    edges: dict[str, set[str]] = {}
    for arrow in all_arrows():
        if FACADE not in (arrow.source, arrow.target):
            edges.setdefault(arrow.source, set()).add(arrow.target)
    assert circles(edges) == []


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("import onenet.cli.app", "onenet.cli.app"),
        ("from onenet.cli import app", "onenet.cli.app"),
        ("from ..cli import app", "onenet.cli.app"),
        ("def f():\n    from onenet.cli.app import main", "onenet.cli.app"),
        ("if TYPE_CHECKING:\n    from onenet.cli.app import main", "onenet.cli.app"),
        ("importlib.import_module('onenet.cli.app')", "onenet.cli.app"),
        ("import onenet", "onenet"),
    ],
)
def test_an_import_the_wrong_way_is_seen(text: str, target: str) -> None:
    wrong = [arrow for arrow in arrows(module("onenet.base.files", text), set(product())) if against(arrow)]
    assert [arrow.target for arrow in wrong] == [target]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("onenet.calibration.record", "from onenet.runtimes import golden"),
        ("onenet.runtimes.parity", "from onenet.lowering import graph"),
        ("onenet.lowering.graph", "from onenet.calibration import scheme"),
        ("onenet.runtimes.backends.litert", "from onenet.runtimes.agent import program"),
        ("onenet.runtimes.agent.program", "import onenet.models.build"),
    ],
)
def test_arrows_that_the_order_forbids(source: str, text: str) -> None:
    assert [against(arrow) for arrow in arrows(module(source, text), set(product()))] != [None]


def test_a_circle_is_seen() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
