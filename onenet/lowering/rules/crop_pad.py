"""pad by negative or circular places -> slices, a concatenation

Core ML pads with a number or with what lies at the edges, and only outwards.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch.fx import Node

from onenet.lowering.graph import Graph, arguments, shape, target_of
from onenet.lowering.operators import PADS_WITH_VALUE, aten
from onenet.lowering.rule import Rule


class CropPad(Rule[Node]):
    """What a pad takes away is sliced off; what it takes from the other end is joined."""

    def matches(self, graph: Graph) -> Iterator[Node]:
        for node in graph.calls(*PADS_WITH_VALUE):
            if is_circular(node) or min(arguments(node)[1], default=0) < 0:
                yield node

    def rewrite(self, graph: Graph, place: Node) -> None:
        new, pads = arguments(place)[:2]
        rank = len(shape(place))
        with graph.before(place):
            for axis, before, after in ((rank - 1 - i // 2, pads[i], pads[i + 1]) for i in range(0, len(pads), 2)):
                size = shape(new)[axis]
                if before < 0 or after < 0:
                    new = graph.call(aten.slice.Tensor, new, axis, max(-before, 0), size + min(after, 0))
                if is_circular(place) and (before > 0 or after > 0):
                    new = graph.call(aten.cat.default, around(graph, new, axis, before, after), axis)
            left = [max(each, 0) for each in pads]
            if any(left) and not is_circular(place):
                new = graph.call(target_of(place), new, left, *arguments(place)[2:])
            graph.replace(place, new)


def is_circular(node: Node) -> bool:
    """Whether a pad takes values from the other end."""
    return node.target is aten.pad.default and arguments(node)[2] == "circular"


def around(graph: Graph, source: Node, axis: int, before: int, after: int) -> list[Node]:
    """The last places, all of them, and the first."""
    size = shape(source)[axis]
    first = [graph.call(aten.slice.Tensor, source, axis, size - before, size)] if before > 0 else []
    last = [graph.call(aten.slice.Tensor, source, axis, 0, after)] if after > 0 else []
    return [*first, source, *last]


RULE = CropPad()
