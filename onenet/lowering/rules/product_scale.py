"""(a @ b) * number -> (a * number) @ b, on the operand whose layer takes the number up, else on the smaller one

Attention scales its scores, of which there are tokens x tokens; the queries are tokens x channels. Exact, since a product is
linear in each operand.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch.fx import Node
from torch.fx.node import map_arg

from onenet.lowering.graph import Graph, channel_affine, shape, source_of, target_of
from onenet.lowering.operators import aten
from onenet.lowering.rule import Rule
from onenet.lowering.rules.fold_backward import LAYERS, layer_of, obstacle
from onenet.lowering.rules.plain_affine import uniform

PRODUCTS = (aten.matmul.default, aten.bmm.default, aten.einsum.default)
"""Linear in each of their operands."""


class ProductScale(Rule[Node]):
    """A number behind a matrix product goes to one of its operands."""

    steps = (85,)

    def matches(self, graph: Graph) -> Iterator[Node]:
        return (node for node in graph.calls(channel_affine) if source_of(node).target in PRODUCTS)

    def check(self, graph: Graph, place: Node) -> str | None:
        scale, shift = graph.constant_value(place.args[1]), graph.constant_value(place.args[2])
        product = source_of(place)
        if uniform(scale) is None or bool(shift.any()):
            return "not one factor for all of the product"
        if len(product.users) > 1:
            return "the product is used without the scale as well"
        operand = operand_of(graph, product)
        if len(shape(operand)) < 2:
            return "the smaller operand is a vector"
        if not takes_up(graph, operand) and math.prod(shape(operand)) >= math.prod(shape(product)):
            return "the operands of the product are no smaller than it"
        return None

    def rewrite(self, graph: Graph, place: Node) -> None:
        product = source_of(place)
        operand, number = operand_of(graph, product), float(graph.constant_value(place.args[1])[0])
        with graph.before(product):
            scaled = scaled_by(graph, operand, number)
        with graph.before(place):
            seen: list[Node] = []

            def replaced(node: Node) -> Node:  # x @ x is linear in each x, not in both
                seen.append(node)
                return scaled if node is operand and seen.count(operand) == 1 else node

            graph.replace(place, graph.call(target_of(product), *map_arg(product.args, replaced)))


def operand_of(graph: Graph, product: Node) -> Node:
    """The operand to scale: one that takes the number up at no cost, else the smallest."""
    return min(product.all_input_nodes, key=lambda each: (not takes_up(graph, each), math.prod(shape(each))))


def takes_up(graph: Graph, operand: Node) -> bool:
    """Whether an operand is a constant, or a layer's result that has no other reader."""
    return graph.value(operand) is not None or (layer_of(operand).target in LAYERS and obstacle(graph, operand) is None)


def scaled_by(graph: Graph, operand: Node, number: float) -> Node:
    """The operand times a number: an affine that the next rule folds, or a constant."""
    value = graph.value(operand)
    if value is not None:
        return graph.constant(value * number)
    channels = shape(operand)[1]
    scale = torch.full((channels,), number, dtype=torch.float64)
    return graph.call(channel_affine, operand, graph.constant(scale), graph.constant(torch.zeros_like(scale)))


RULE = ProductScale()
