"""concatenation of planes between transposes -> concatenation of pixels, where that takes away more transposes than it adds"""

from __future__ import annotations

from torch.fx import Node

from onenet.lowering.graph import DEQUANTIZE, QUANTIZE, Graph, arguments, aten, shape
from onenet.lowering.rule import Report
from onenet.lowering.rules.pixel_order import PIXELS, PLANES


def rewrite(graph: Graph, report: Report) -> None:
    for node in graph.calls(aten.cat.default):
        parts, axis = arguments(node)
        if axis != 1 or len(shape(node)) != 4:
            continue
        saved = sum(is_permute(above(each), PLANES) for each in parts) + sum(is_permute(each, PIXELS) for each in readers(node))
        added = sum(not is_permute(above(each), PLANES) for each in parts)
        if saved <= added:
            report.decline("between operators on planes")
            continue
        turn(graph, node, parts)
        report.apply()


def above(node: Node) -> Node:
    """What a quantize, dequantize pair reads; the node itself where there is none."""
    if node.target is DEQUANTIZE and node.args[0].target is QUANTIZE:  # type: ignore[union-attr]  # a Node
        return node.all_input_nodes[0].all_input_nodes[0]
    return node


def readers(node: Node) -> list[Node]:
    """Who reads the node's value, directly or behind quantize, dequantize pairs."""
    found = []
    for user in node.users:
        found += readers(user) if user.target in (QUANTIZE, DEQUANTIZE) else [user]
    return found


def is_permute(node: Node, order: list[int]) -> bool:
    return node.target is aten.permute.default and list(node.args[1]) == order  # type: ignore[arg-type]  # a list


def turn(graph: Graph, node: Node, parts: list[Node]) -> None:
    with graph.before(node):
        result = graph.call(aten.cat.default, [pixels_of(graph, each) for each in parts], 3)
        pairs = list(node.users)
        if len(pairs) == 1 and pairs[0].target is QUANTIZE and len(pairs[0].users) == 1:
            node = next(iter(pairs[0].users))
            result = pair_like(graph, node, result)
        graph.replace(node, graph.call(aten.permute.default, result, PLANES))


def pixels_of(graph: Graph, part: Node) -> Node:
    """A part with its pixels together: from before its transpose where it has one."""
    if not is_permute(above(part), PLANES):
        return graph.call(aten.permute.default, part, PIXELS)
    source = above(part).all_input_nodes[0]
    return source if above(part) is part else pair_like(graph, part, source)


def pair_like(graph: Graph, dequantize: Node, source: Node) -> Node:
    """The same quantize, dequantize pair on another value."""
    stored = graph.call(QUANTIZE, source, *dequantize.all_input_nodes[0].args[1:])
    return graph.call(DEQUANTIZE, stored, *dequantize.args[1:])
