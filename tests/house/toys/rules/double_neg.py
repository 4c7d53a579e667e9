"""-(-x) -> x

Somebody wrote it, and every converter would keep it.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch.fx import Node

from onenet.lowering.graph import Graph, source_of
from onenet.lowering.operators import aten
from onenet.lowering.rule import Rule


class DoubleNeg(Rule[Node]):
    """A minus behind a minus."""

    steps = (15,)

    def matches(self, graph: Graph) -> Iterator[Node]:
        yield from graph.calls(aten.neg.default)

    def check(self, graph: Graph, place: Node) -> str | None:
        del graph
        return None if source_of(place).target is aten.neg.default else "its input is no minus"

    def rewrite(self, graph: Graph, place: Node) -> None:
        graph.replace(place, source_of(source_of(place)))


RULE = DoubleNeg()
