"""move, quantize, dequantize, move with one scale -> move, move: the pair changed nothing

Calibration puts a pair behind every operator. Between operators that only move values it would keep them apart.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch.fx import Node

from onenet.lowering.graph import Graph, source_of
from onenet.lowering.operators import DEQUANTIZE, MOVES, QUANTIZE
from onenet.lowering.rule import Rule


class Requantize(Rule[Node]):
    """A quantize, dequantize pair between moves disappears."""

    def matches(self, graph: Graph) -> Iterator[Node]:
        for node in graph.calls(DEQUANTIZE):
            if source_of(node).target is not QUANTIZE:
                continue  # a constant, stored in integers
            move = moved_by(node)
            if (
                move.target in MOVES
                and all(user.target in MOVES for user in node.users)
                and scheme(origin(move)) == scheme(node)
            ):
                yield node

    def rewrite(self, graph: Graph, place: Node) -> None:
        graph.replace(place, moved_by(place))


def moved_by(dequantize: Node) -> Node:
    """What the quantize, dequantize pair reads."""
    return source_of(source_of(dequantize))


def origin(node: Node) -> Node:
    """What a chain of moves reads."""
    while node.target in MOVES:
        node = source_of(node)
    return node


def scheme(node: Node) -> tuple[object, ...] | None:
    """Scale, zero point, range and type; None for what is not dequantized."""
    return node.args[1:] if node.target in (QUANTIZE, DEQUANTIZE) else None


RULE = Requantize()
