"""SiLU, hard-swish -> a product: x times its sigmoid, x times its hard sigmoid

Every target computes these so, or has one kernel for the product and finds it. In int8 the product and what gates it have
kernels and scales of their own; for the whole there is no form.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch.fx import Node

from onenet.lowering.graph import Graph, source_of, target_of
from onenet.lowering.operators import Operator, aten
from onenet.lowering.rule import Rule

GATES: dict[Operator, Operator] = {
    aten.silu.default: aten.sigmoid.default,
    aten.silu_.default: aten.sigmoid.default,
    aten.hardswish.default: aten.hardsigmoid.default,
    aten.hardswish_.default: aten.hardsigmoid.default,
}
IN_PLACE = (aten.silu_.default, aten.hardswish_.default)


class Gates(Rule[Node]):
    """A tensor times a gate that it opens itself."""

    steps = (13,)

    def matches(self, graph: Graph) -> Iterator[Node]:
        return graph.calls(*GATES)

    def check(self, graph: Graph, place: Node) -> str | None:
        del graph
        shared = place.target in IN_PLACE and len(source_of(place).users) > 1
        return "it changes a value in place that others read" if shared else None

    def rewrite(self, graph: Graph, place: Node) -> None:
        source = source_of(place)
        with graph.before(place):
            graph.replace(place, graph.call(aten.mul.Tensor, source, graph.call(GATES[target_of(place)], source)))


RULE = Gates()
