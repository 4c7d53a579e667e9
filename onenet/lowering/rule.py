"""The contract of a rule: where it looks, why it may leave a place alone, and what it makes of it.

A rule is a file in ``onenet/lowering/rules/`` that holds ``RULE``. It is found by being there. The driver owns the loop::

    for place in rule.matches(graph):
        reason = rule.check(graph, place)
        if reason is None: rule.rewrite(graph, place)
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from typing import ClassVar, Generic, TypeVar

from onenet.lowering.graph import Graph

Place = TypeVar("Place")
"""What a rule looks at: one node for most rules; a pair of nodes, or a chain, for others."""


LAST = 1000
"""Behind every step."""


class Rule(ABC, Generic[Place]):
    """One exact rewrite. The file's name is the rule's name, its docstring's first line is ``before -> after``."""

    steps: ClassVar[tuple[int, ...]] = ()
    """Places in the order that every network goes through; none for a rule that only targets name."""
    larger: ClassVar[bool] = False
    """Whether it makes a file larger, for speed."""
    repeats: ClassVar[bool] = False
    """Whether the driver looks for matches again as long as one was rewritten; what the last look declines counts."""

    @property
    def name(self) -> str:
        """The name of the rule's file."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def form(self) -> str:
        """The form before and the form after: the first line of the file's docstring."""
        return (sys.modules[type(self).__module__].__doc__ or "").strip().partition("\n")[0]

    @property
    def order(self) -> int:
        """Place in lists of rules: by the first step, rules without one behind the others."""
        return min(self.steps, default=LAST)

    @abstractmethod
    def matches(self, graph: Graph) -> Iterator[Place]:
        """The places that look like the form before, one by one: each is rewritten before the next is asked for."""

    def check(self, graph: Graph, place: Place) -> str | None:  # noqa: ARG002  # for rules that match nothing inexact
        """Why the place must be left alone, in words for the user; None where the rewrite is exact and pays."""
        return None

    @abstractmethod
    def rewrite(self, graph: Graph, place: Place) -> None:
        """Put the form after in place of a match that ``check`` has nothing against."""


class Report:
    """Collects what one rule did: places rewritten, and places left alone with the reason."""

    def __init__(self) -> None:
        self.applied = 0
        self.declined: Counter[str] = Counter()

    def apply(self) -> None:
        """Count a place that was rewritten."""
        self.applied += 1

    def decline(self, reason: str) -> None:
        """Count a place that was left alone."""
        self.declined[reason] += 1
