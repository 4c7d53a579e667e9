"""What a rule reports.

A rule is a module of this package: its docstring's first line is ``before -> after``, and
``rewrite(graph: Graph, report: Report) -> None`` rewrites every match in place and reports each decline with its reason.
"""

from __future__ import annotations

from collections import Counter


class Report:
    """Collects what one rule did: places rewritten, and places left alone with the reason."""

    def __init__(self) -> None:
        self.applied = 0
        self.declined: Counter[str] = Counter()

    def apply(self) -> None:
        self.applied += 1

    def decline(self, reason: str) -> None:
        self.declined[reason] += 1
