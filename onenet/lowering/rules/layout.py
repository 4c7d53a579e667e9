"""a chain of reshape, permute and transpose -> the shortest chain that moves every element to the same place

Decided on the elements themselves: the chain is run on their indices, and a candidate replaces it only if it orders them
equally.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.fx import Node

from onenet.lowering.graph import Graph, shape, source_of, target_of
from onenet.lowering.operators import LAYOUT, PIXELS, PLANES, Operator, aten
from onenet.lowering.rule import Rule

Step = tuple[Operator, list[int]]


class Chain(NamedTuple):
    """A chain of layout operations and a shorter one with the same effect."""

    source: Node
    end: Node
    shorter: list[Step]


class Layout(Rule[Chain]):
    """A chain of moves becomes the shortest chain with the same result."""

    steps = (80, 160)

    def matches(self, graph: Graph) -> Iterator[Chain]:
        for node in graph.calls(*LAYOUT):
            if any(user.target in LAYOUT for user in node.users):
                continue  # not the end of its chain
            source, length = chain_to(node)
            shorter = shortest(source, node, length)
            if shorter is not None:
                yield Chain(source, node, shorter)

    def rewrite(self, graph: Graph, place: Chain) -> None:
        new = place.source
        with graph.before(place.end):
            for target, argument in place.shorter:
                new = graph.call(target, new, argument)
        graph.replace(place.end, new)


def chain_to(node: Node) -> tuple[Node, int]:
    """The node that feeds a chain of layout operations, and the chain's length."""
    length = 0
    while node.target in LAYOUT:
        node, length = source_of(node), length + 1
    return node, length


def shortest(source: Node, end: Node, length: int) -> list[Step] | None:
    """A chain of fewer steps than ``length`` with the same effect, or None."""
    index = torch.arange(source.meta["val"].numel()).reshape(shape(source))
    order = run(source, end, index)
    for candidate in candidates(shape(source), shape(end)):
        if len(candidate) < length and torch.equal(apply(candidate, index), order):
            return candidate
    return None


def run(source: Node, end: Node, value: Tensor) -> Tensor:
    """What the chain from ``source`` to ``end`` makes of a value."""
    return value if end is source else target_of(end)(run(source, source_of(end), value), *end.args[1:])


def candidates(before: tuple[int, ...], after: tuple[int, ...]) -> Iterator[list[Step]]:
    """Chains from one shape to another that converters know, the shortest first."""
    reshape, permute = aten.reshape.default, aten.permute.default
    yield [] if before == after else [(reshape, list(after))]
    if len(after) == 4:  # a pixel-major sequence to an image
        n, c, h, w = after
        yield [(reshape, [n, h, w, c]), (permute, PLANES)]
    if len(before) == 4 and len(after) == 4:  # an image to another image with the same sequence of pixels
        n, c, h, w = after
        yield [(permute, PIXELS), (reshape, [n, h, w, c]), (permute, PLANES)]
    if len(before) == 4:  # an image to a pixel-major sequence
        yield [(permute, PIXELS), (reshape, list(after))]


def apply(steps: list[Step], value: Tensor) -> Tensor:
    """What a chain of steps makes of a value."""
    for target, argument in steps:
        value = target(value, argument)
    return value


RULE = Layout()
