"""affine that nothing took up -> multiplication and addition, without what changes nothing: by a number where all are alike

A factor of 1 and an addend of 0 disappear, so an affine whose scale went elsewhere costs one operator, and one that went
elsewhere as a whole costs none.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor
from torch.fx import Node

from onenet.lowering.graph import Graph, channel_affine, shape, source_of
from onenet.lowering.operators import Operator, aten
from onenet.lowering.rule import Rule


class PlainAffine(Rule[Node]):
    """An affine that is still there becomes arithmetic that every exporter knows."""

    steps = (145,)

    def matches(self, graph: Graph) -> Iterator[Node]:
        return graph.calls(channel_affine)

    def rewrite(self, graph: Graph, place: Node) -> None:
        scale, shift = graph.constant_value(place.args[1]), graph.constant_value(place.args[2])
        result, rank = source_of(place), len(shape(place))
        with graph.before(place):
            result = combined(graph, aten.mul.Tensor, result, scale, 1, rank)
            result = combined(graph, aten.add.Tensor, result, shift, 0, rank)
        graph.replace(place, result)


def combined(graph: Graph, target: Operator, source: Node, value: Tensor, neutral: int, rank: int) -> Node:
    """``source target value``; the source itself where every value is the neutral one.

    Args:
        value: one for each channel (axis 1 of ``rank`` axes).
    """
    if bool((value == neutral).all()):
        return source
    number = uniform(value)
    if number is not None:
        return graph.call(target, source, number)
    return graph.call(target, source, graph.constant(value.reshape([1, -1] + [1] * (rank - 2))))


def uniform(value: Tensor) -> float | None:
    """The number that all channels have; None where they differ."""
    return float(value[0]) if bool((value == value[0]).all()) else None


RULE = PlainAffine()
