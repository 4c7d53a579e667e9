"""What a rule reports.

A rule is a module of this package: its docstring's first line is ``before -> after``, and
``rewrite(graph: Graph, report: Report) -> None`` rewrites every match in place and reports each decline with its reason.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any


class Report:
    """Collects what one rule did: places rewritten, and places left alone with the reason."""

    def __init__(self) -> None:
        self.applied = 0
        self.declined: Counter[str] = Counter()

    def apply(self) -> None:
        self.applied += 1

    def decline(self, reason: str) -> None:
        self.declined[reason] += 1


@dataclass(frozen=True)
class RuleResult:
    """One rule's outcome, as the manifest and ``onenet models show --lowering`` list it."""

    rule: str
    what: str
    """The rule's before -> after line."""
    applied: int
    declined: dict[str, int] = field(default_factory=dict)
    """Reason -> number of places."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
