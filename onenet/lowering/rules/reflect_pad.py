"""reflect pad of a sequence (..., L) -> slices of one element, reversed, and one concatenation

Converters turn the pad into index arithmetic and GATHER_ND, which quantizes badly and breaks a delegate's partition.
"""

from __future__ import annotations

from torch.fx import Node

from onenet.lowering.graph import Graph, arguments, aten, shape
from onenet.lowering.rule import Report

PADS = (aten.pad.default, aten.reflection_pad1d.default)


def rewrite(graph: Graph, report: Report) -> None:
    for node in graph.calls(*PADS):
        if not is_reflect_pad(node):
            continue
        source, padding, *_ = arguments(node)
        reason = decline(source, padding)
        if reason:
            report.decline(reason)
            continue
        with graph.before(node):
            graph.replace(node, reflected(graph, source, *padding))
        report.apply()


def is_reflect_pad(node: Node) -> bool:
    if node.target is aten.pad.default:
        return bool(arguments(node)[2] == "reflect")
    return node.target is aten.reflection_pad1d.default


def decline(source: Node, padding: list[int]) -> str | None:
    if len(padding) != 2:
        return "pads more than the last axis"
    if any(p < 0 or p >= shape(source)[-1] for p in padding):
        return "padding is not smaller than the sequence"
    return None


def reflected(graph: Graph, source: Node, left: int, right: int) -> Node:
    axis, length = len(shape(source)) - 1, shape(source)[-1]

    def element(i: int) -> Node:
        return graph.call(aten.slice.Tensor, source, axis, i, i + 1)

    head = [element(i) for i in range(left, 0, -1)]
    tail = [element(i) for i in range(length - 2, length - 2 - right, -1)]
    return graph.call(aten.cat.default, [*head, source, *tail], axis)
