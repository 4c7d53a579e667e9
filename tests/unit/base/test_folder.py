"""A folder that is a table: what is found by being there."""

from __future__ import annotations

import importlib
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from onenet.base.folder import Folder
from onenet.errors import RequestError

CARD = """
from collections import namedtuple
CARD = namedtuple("Card", "name order")({name!r}, {order})
"""


class Card(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def order(self) -> int: ...


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package ``shelf`` of three cards, one module without a card and one folder that is a card."""
    shelf = tmp_path / "shelf"
    (shelf / "folded").mkdir(parents=True)
    (shelf / "__init__.py").write_text("")
    for file, name, order in (
        ("late.py", "late", 9),
        ("b.py", "second", 1),
        ("a.py", "first", 1),
        ("folded/__init__.py", "c", 5),
    ):
        (shelf / file).write_text(CARD.format(name=name, order=order))
    (shelf / "helper.py").write_text("VALUE = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "shelf"
    for module in [each for each in sys.modules if each.partition(".")[0] == "shelf"]:
        del sys.modules[module]


def test_a_file_is_found_by_being_there_and_one_without_a_card_is_not(package: str) -> None:
    folder: Folder[Card] = Folder(package, "CARD")
    assert list(folder.cards()) == ["first", "second", "c", "late"], "by order, then by name"
    assert folder.cards()["late"].order == 9
    assert folder.modules() == {"first": "shelf.a", "second": "shelf.b", "c": "shelf.folded", "late": "shelf.late"}


def test_nothing_is_imported_before_it_is_asked(package: str) -> None:
    Folder(package, "CARD")
    assert not [each for each in sys.modules if each.startswith("shelf")]


def test_a_name_that_no_card_has_is_refused_with_those_that_there_are(package: str) -> None:
    folder: Folder[Card] = Folder(package, "CARD")
    assert folder.get("second", "target").name == "second"
    with pytest.raises(RequestError) as caught:
        folder.get("x\ny", "target")
    assert str(caught.value) == r"target 'x\ny' is not known; supported: first, second, c, late"


def test_a_folder_that_is_added_to_the_path_adds_its_cards_and_takes_them_with_it(package: str, tmp_path: Path) -> None:
    folder: Folder[Card] = Folder(package, "CARD")
    assert "toy" not in folder.cards()
    (tmp_path / "toys").mkdir()
    (tmp_path / "toys" / "toy.py").write_text(CARD.format(name="toy", order=2))
    places = importlib.import_module(package).__path__
    places.append(str(tmp_path / "toys"))
    assert list(folder.cards()) == ["first", "second", "toy", "c", "late"]
    assert folder.modules()["toy"] == "shelf.toy"
    places.remove(str(tmp_path / "toys"))
    assert "toy" not in folder.cards()


def test_a_module_may_hold_several_cards(package: str, tmp_path: Path) -> None:
    pair = "from collections import namedtuple\nC = namedtuple('C', 'name order')\nCARD = (C('x', 3), C('y', 0))\n"
    (tmp_path / "shelf" / "pair.py").write_text(pair)
    folder: Folder[Card] = Folder(package, "CARD")
    assert list(folder.cards()) == ["y", "first", "second", "x", "c", "late"]


def test_two_cards_of_one_name_are_a_defect(package: str, tmp_path: Path) -> None:
    (tmp_path / "shelf" / "again.py").write_text(CARD.format(name="first", order=7))
    with pytest.raises(ValueError, match="two cards of shelf have one name"):
        Folder(package, "CARD").cards()


def test_cards_are_found_inside_a_zip(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "program.pyz"
    with zipfile.ZipFile(archive, "w") as file:
        for path in (tmp_path / "shelf").rglob("*.py"):
            file.write(path, f"shelf/{path.relative_to(tmp_path / 'shelf')}")
    monkeypatch.setattr(sys, "path", [str(archive), *[each for each in sys.path if each != str(tmp_path)]])
    folder: Folder[Card] = Folder(package, "CARD")
    assert list(folder.cards()) == ["first", "second", "c", "late"]
    assert str(archive) in str(importlib.import_module("shelf.a").__file__)
