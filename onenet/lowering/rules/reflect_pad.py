"""reflect pad of a sequence (..., L) -> slices of one element, reversed, and one concatenation

Converters turn the pad into index arithmetic and GATHER_ND, which quantizes badly and breaks a delegate's partition.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch.fx import Node

from onenet.lowering.graph import Graph, arguments, shape
from onenet.lowering.operators import PADS, aten
from onenet.lowering.rule import Rule


class ReflectPad(Rule[Node]):
    """A reflect pad of a sequence becomes slices and a concatenation."""

    steps = (30,)

    def matches(self, graph: Graph) -> Iterator[Node]:
        return (node for node in graph.calls(*PADS) if is_reflect_pad(node))

    def check(self, graph: Graph, place: Node) -> str | None:
        source, padding, *_ = arguments(place)
        if len(padding) != 2:
            return "pads more than the last axis"
        if any(p < 0 or p >= shape(source)[-1] for p in padding):
            return "padding is not smaller than the sequence"
        return None

    def rewrite(self, graph: Graph, place: Node) -> None:
        source, padding, *_ = arguments(place)
        with graph.before(place):
            graph.replace(place, reflected(graph, source, *padding))


def is_reflect_pad(node: Node) -> bool:
    """Whether a pad reflects the values at the ends."""
    if node.target is aten.pad.default:
        return bool(arguments(node)[2] == "reflect")
    return node.target is aten.reflection_pad1d.default


def reflected(graph: Graph, source: Node, left: int, right: int) -> Node:
    """The sequence between its ends, element by element in reverse."""
    axis, length = len(shape(source)) - 1, shape(source)[-1]

    def element(i: int) -> Node:
        return graph.call(aten.slice.Tensor, source, axis, i, i + 1)

    head = [element(i) for i in range(left, 0, -1)]
    tail = [element(i) for i in range(length - 2, length - 2 - right, -1)]
    return graph.call(aten.cat.default, [*head, source, *tail], axis)


RULE = ReflectPad()
