"""A folder that is a table: each of its modules holds one card or several, and is found by being there."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from typing import Any, Generic, Protocol, TypeVar

from onenet.base.text import near
from onenet.errors import RequestError


class Card(Protocol):
    """What every card has."""

    @property
    def name(self) -> str:
        """As a user writes it; one card of a folder has it."""
        ...

    @property
    def order(self) -> int:
        """Place among the cards of its folder, in help texts and tables; cards of one place are sorted by name."""
        ...


T = TypeVar("T", bound=Card)


class Folder(Generic[T]):
    """The modules of a package that hold a card, by the card's name.

    The package is imported on first use and read again when its ``__path__`` changed: a folder that is added there
    adds its cards. Works for a package inside a zip file too.

    Args:
        package: import name of the package (``onenet.targets``).
        attribute: what a module calls its card (``TARGET``), or its tuple of cards. Modules without it are left out.
    """

    def __init__(self, package: str, attribute: str) -> None:
        self.package, self.attribute = package, attribute
        self.path: tuple[str, ...] = ()
        self.table: dict[str, tuple[T, str]] = {}

    def cards(self) -> dict[str, T]:
        """Name -> card, by ``order`` and then by name.

        Raises:
            ValueError: two cards have one name.
        """
        return {name: card for name, (card, _) in self.read().items()}

    def modules(self) -> dict[str, str]:
        """Name of a card -> import name of the module that holds it, in the same order."""
        return {name: module for name, (_, module) in self.read().items()}

    def get(self, name: str, what: str) -> T:
        """The card of a name; ``what`` says what it is a name of (``target``).

        Raises:
            RequestError: there is none; lists those that there are.
        """
        cards = self.cards()
        if name not in cards:
            raise RequestError(f"{what} {name!a:.100} is not known; supported: {', '.join(cards)}{near(name, cards)}")
        return cards[name]

    def read(self) -> dict[str, tuple[T, str]]:
        """Name -> card and module, read anew where the package's path is another than last time."""
        path = tuple(importlib.import_module(self.package).__path__)
        if path != self.path:
            found = [(card, module) for module in self.names(path) for card in self.cards_of(module)]
            table = {card.name: (card, module) for card, module in sorted(found, key=lambda each: place(each[0]))}
            if len(table) < len(found):
                raise ValueError(f"two cards of {self.package} have one name; found {sorted(card.name for card, _ in found)}")
            self.table, self.path = table, path
        return self.table

    def names(self, path: Iterable[str]) -> list[str]:
        """Import names of the modules on these paths."""
        return [each.name for each in pkgutil.iter_modules(path, f"{self.package}.")]

    def cards_of(self, module: str) -> tuple[T, ...]:
        """The cards that a module holds; none where it has no such attribute."""
        value: Any = vars(importlib.import_module(module)).get(self.attribute, ())
        return value if type(value) is tuple else (value,)  # not a card that is a NamedTuple


def place(card: Card) -> tuple[int, str]:
    """The key that cards are sorted by."""
    return card.order, card.name
