"""move, quantize, dequantize, move with one scale -> move, move: the pair changed nothing

Calibration puts a pair behind every operator. Between operators that only move values it would keep them apart.
"""

from __future__ import annotations

from torch.fx import Node

from onenet.lowering.graph import DEQUANTIZE, QUANTIZE, Graph, aten
from onenet.lowering.rule import Report
from onenet.lowering.rules.layout import LAYOUT

MOVES = (*LAYOUT, aten.pixel_shuffle.default, aten.pixel_unshuffle.default)


def rewrite(graph: Graph, report: Report) -> None:
    for node in graph.calls(DEQUANTIZE):
        quantize = node.args[0]
        assert isinstance(quantize, Node)
        move = quantize.args[0]
        if not isinstance(move, Node) or move.target not in MOVES or not all(user.target in MOVES for user in node.users):
            continue
        if scheme(origin(move)) == scheme(node):
            graph.replace(node, move)
            report.apply()


def origin(node: Node) -> Node:
    """What a chain of moves reads."""
    while node.target in MOVES:
        node = node.all_input_nodes[0]
    return node


def scheme(node: Node) -> tuple[object, ...] | None:
    """Scale, zero point, range and type; None for what is not dequantized."""
    return node.args[1:] if node.target in (QUANTIZE, DEQUANTIZE) else None
