"""convolution or linear -> moves -> ReLU or clamp -> the same layer -> ReLU or clamp -> moves

Runtimes compute a ReLU in the kernel of the layer in front of it, and int8 then has all its steps for what is left of the
values. Behind a reshape, a shuffle or a slice it is an operator of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch.fx import Node

from onenet.lowering.graph import Graph, source_of, target_of
from onenet.lowering.operators import JOINED, PICKS, WEIGHTED
from onenet.lowering.rule import Rule


class EarlyRelu(Rule[Node]):
    """A ReLU goes to the layer whose values it clips."""

    steps = (105,)

    def matches(self, graph: Graph) -> Iterator[Node]:
        for node in graph.calls(*JOINED):
            if len(node.all_input_nodes) == 1 and source_of(node).target in PICKS and layer_of(node).target in WEIGHTED:
                yield node

    def check(self, graph: Graph, place: Node) -> str | None:
        shared = any(len(each.users) > 1 for each in way_to(place))
        return "what is in front of it is read elsewhere as well" if shared else None

    def rewrite(self, graph: Graph, place: Node) -> None:
        layer, *moves = way_to(place)
        with graph.before(moves[0]):
            new = graph.call(target_of(place), layer, *place.args[1:])
        moves[0].replace_input_with(layer, new)
        place.replace_all_uses_with(moves[-1])
        graph.erase(place)


def way_to(relu: Node) -> list[Node]:
    """The layer whose values a ReLU clips, and the moves between the two, in order."""
    found = [source_of(relu)]
    while found[0].target in PICKS:
        found.insert(0, source_of(found[0]))
    return found


def layer_of(relu: Node) -> Node:
    """The layer whose values a ReLU clips."""
    return way_to(relu)[0]


RULE = EarlyRelu()
