"""adaptive maximum pool -> maximum pool; where its windows are uneven, of rows and columns repeated until they are even

Exact, since a repeated value changes no maximum. Converters know the even form alone.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator

import torch
from torch.fx import Node

from onenet.lowering.graph import Graph, arguments, shape, target_of
from onenet.lowering.operators import Operator, aten
from onenet.lowering.rule import Rule

POOLS: dict[Operator, Operator] = {
    aten.adaptive_max_pool1d.default: aten.max_pool1d.default,
    aten.adaptive_max_pool2d.default: aten.max_pool2d.default,
    aten.adaptive_max_pool3d.default: aten.max_pool3d.default,
}
"""Adaptive pool -> the one with windows of one size."""


class AdaptiveMax(Rule[Node]):
    """An adaptive maximum becomes one with windows of one size."""

    steps = (14,)

    def matches(self, graph: Graph) -> Iterator[Node]:
        return graph.calls(*POOLS)

    def check(self, graph: Graph, place: Node) -> str | None:
        return None if all(values_of(each) for each in place.users) else "the places of the maxima are used, too"

    def rewrite(self, graph: Graph, place: Node) -> None:
        source, sizes = arguments(place)
        kernel = []
        with graph.before(place):
            first = len(shape(source)) - len(sizes)
            for axis, count in enumerate(sizes, first):
                places = windows(shape(source)[axis], count)
                kernel.append(len(places[0]))
                flat = [each for window in places for each in window]
                if flat != list(range(len(flat))):
                    source = graph.call(aten.index_select.default, source, axis, graph.constant(torch.tensor(flat)))
            pooled = graph.call(POOLS[target_of(place)], source, kernel, kernel)
        for each in list(place.users):
            graph.replace(each, pooled)


def values_of(user: Node) -> bool:
    """Whether a user of the operator takes the maxima, not their places."""
    return user.target is operator.getitem and user.args[1:] == (0,)


def windows(size: int, count: int) -> list[list[int]]:
    """The places in each of torch's adaptive windows, the last one repeated where a window is shorter than the longest."""
    bounds = [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]
    longest = max(end - start for start, end in bounds)
    return [[min(start + i, end - 1) for i in range(longest)] for start, end in bounds]


RULE = AdaptiveMax()
