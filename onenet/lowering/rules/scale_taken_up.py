"""quantize, dequantize, product with a number, quantize by so much larger a scale -> quantize: the same integers

What reads them finds another scale than what wrote them, which is the product. ONNX lets both say their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isclose
from typing import Any, cast

from torch.fx import Node

from onenet.lowering.graph import Graph, source_of, users
from onenet.lowering.operators import DEQUANTIZE, QUANTIZE, aten
from onenet.lowering.rule import Rule


class ScaleTakenUp(Rule[Node]):
    """A product with a number that the scales of both its sides say already."""

    def matches(self, graph: Graph) -> Iterator[Node]:
        for node in graph.calls(aten.mul.Tensor):
            read = [each for each in node.all_input_nodes if each.target is DEQUANTIZE]
            if len(read) == 2 and [user.target for user in node.users] == [QUANTIZE] and keeps_integers(graph, node):
                yield node

    def rewrite(self, graph: Graph, place: Node) -> None:
        integers, behind = source_of(source_of(place)), users(place)[0]
        graph.replace(behind, integers)


def keeps_integers(graph: Graph, product: Node) -> bool:
    """Whether a product's second operand is one number, and its result has that times the scale of the first."""
    first, second = product.all_input_nodes
    number = number_in(graph, second)
    before, after = (cast(tuple[Any, ...], each.args[1:]) for each in (first, users(product)[0]))
    return number is not None and before[1:] == after[1:] and isclose(before[0] * number, after[0], rel_tol=1e-6)


def number_in(graph: Graph, dequantized: Node) -> float | None:
    """What a dequantize operator gives where that is one constant number; else None."""
    quantize = source_of(dequantized)
    value = graph.value(source_of(quantize)) if quantize.target is QUANTIZE else None
    return float(value) if value is not None and value.numel() == 1 else None


RULE = ScaleTakenUp()
