"""x + 1e-12, x - 1e-9, x * 1.000003, x / 1.000003 -> the same with the number as a constant of one dimension

onnxscript takes such a number for 0 or 1 and drops the operator: ``x / (norm + 1e-12)`` becomes 0 / 0. It looks at numbers
without dimensions only.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.fx import Node

from onenet.lowering.graph import Graph, shape, source_of, target_of
from onenet.lowering.operators import Operator, aten
from onenet.lowering.rule import Rule

NEUTRAL: dict[Operator, float] = {
    aten.add.Tensor: 0.0,
    aten.sub.Tensor: 0.0,
    aten.mul.Tensor: 1.0,
    aten.div.Tensor: 1.0,
}
"""Operator -> the number that changes nothing."""
NEAR = 1e-4
"""Wider than onnxscript's own 1e-8 beside 0 and 1e-5 beside 1."""


class SmallNumbers(Rule[Node]):
    """A number that hardly changes anything keeps its operator."""

    def matches(self, graph: Graph) -> Iterator[Node]:
        for node in graph.calls(*NEUTRAL):
            number, neutral = node.args[1], NEUTRAL[target_of(node)]
            if isinstance(number, float) and number != neutral and abs(number - neutral) < NEAR:
                yield node

    def check(self, graph: Graph, place: Node) -> str | None:
        del graph
        return "the number is scaled" if place.kwargs else None

    def rewrite(self, graph: Graph, place: Node) -> None:
        source = source_of(place)
        with graph.before(place):
            number = graph.constant(torch.tensor([place.args[1]], dtype=source.meta["val"].dtype))
            result = graph.call(target_of(place), source, number)
            graph.replace(place, result if shape(place) else graph.call(aten.reshape.default, result, []))


RULE = SmallNumbers()
