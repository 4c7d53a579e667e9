"""concatenation of planes between transposes -> concatenation of pixels, where that takes away more transposes than it adds"""

from __future__ import annotations

from collections.abc import Iterator

from torch.fx import Node

from onenet.lowering.graph import Graph, arguments, parts_of, shape, source_of, users
from onenet.lowering.operators import DEQUANTIZE, PIXELS, PLANES, QUANTIZE, aten
from onenet.lowering.rule import Rule


class ConcatOrder(Rule[Node]):
    """A concatenation joins pixels instead of planes where that saves transposes."""

    def matches(self, graph: Graph) -> Iterator[Node]:
        return (node for node in graph.calls(aten.cat.default) if arguments(node)[1] == 1 and len(shape(node)) == 4)

    def check(self, graph: Graph, place: Node) -> str | None:
        parts = parts_of(place)
        saved = sum(is_permute(above(each), PLANES) for each in parts) + sum(
            is_permute(each, PIXELS) for each in readers(place)
        )
        added = sum(not is_permute(above(each), PLANES) for each in parts)
        return "between operators on planes" if saved <= added else None

    def rewrite(self, graph: Graph, place: Node) -> None:
        with graph.before(place):
            result = graph.call(aten.cat.default, [pixels_of(graph, each) for each in parts_of(place)], 3)
            pairs = users(place)
            if len(pairs) == 1 and pairs[0].target is QUANTIZE and len(pairs[0].users) == 1:
                (place,) = users(pairs[0])
                result = pair_like(graph, place, result)
            graph.replace(place, graph.call(aten.permute.default, result, PLANES))


def above(node: Node) -> Node:
    """What a quantize, dequantize pair reads; the node itself where there is none."""
    if node.target is DEQUANTIZE and source_of(node).target is QUANTIZE:
        return source_of(source_of(node))
    return node


def readers(node: Node) -> list[Node]:
    """Who reads the node's value, directly or behind quantize, dequantize pairs."""
    direct: list[Node] = []
    for user in node.users:
        direct += readers(user) if user.target in (QUANTIZE, DEQUANTIZE) else [user]
    return direct


def is_permute(node: Node, order: list[int]) -> bool:
    """Whether a node permutes the axes so."""
    return node.target is aten.permute.default and list(arguments(node)[1]) == order


def pixels_of(graph: Graph, part: Node) -> Node:
    """A part with its pixels together: from before its transpose where it has one."""
    if not is_permute(above(part), PLANES):
        return graph.call(aten.permute.default, part, PIXELS)
    source = source_of(above(part))
    return source if above(part) is part else pair_like(graph, part, source)


def pair_like(graph: Graph, dequantize: Node, source: Node) -> Node:
    """The same quantize, dequantize pair on another value."""
    stored = graph.call(QUANTIZE, source, *source_of(dequantize).args[1:])
    return graph.call(DEQUANTIZE, stored, *dequantize.args[1:])


RULE = ConcatOrder()
