"""a chain of reshape, permute and transpose -> the shortest chain that moves every element to the same place

Decided on the elements themselves: the chain is run on their indices, and a candidate replaces it only if it orders them
equally.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.fx import Node

from onenet.lowering.graph import Graph, aten, shape
from onenet.lowering.rule import Report

LAYOUT = (
    aten.reshape.default,
    aten.view.default,
    aten.permute.default,
    aten.transpose.int,
    aten.flatten.using_ints,
    aten.squeeze.dim,
    aten.unsqueeze.default,
)
Step = tuple[Callable[..., Tensor], list[int]]


def rewrite(graph: Graph, report: Report) -> None:
    for node in graph.calls(*LAYOUT):
        if any(user.target in LAYOUT for user in node.users):
            continue  # not the end of its chain
        source, steps = chain(node)
        shorter = shortest(source, node, steps)
        if shorter is None:
            continue
        with graph.before(node):
            new = source
            for target, argument in shorter:
                new = graph.call(target, new, argument)
        graph.replace(node, new)
        report.apply()


def chain(node: Node) -> tuple[Node, int]:
    """The node that feeds a chain of layout operations, and the chain's length."""
    steps = 0
    while node.target in LAYOUT:
        node, steps = node.all_input_nodes[0], steps + 1
    return node, steps


def shortest(source: Node, end: Node, steps: int) -> list[Step] | None:
    """A chain of fewer steps with the same effect, or None."""
    index = torch.arange(source.meta["val"].numel()).reshape(shape(source))
    order = run(source, end, index)
    for candidate in candidates(shape(source), shape(end)):
        if len(candidate) < steps and torch.equal(apply(candidate, index), order):
            return candidate
    return None


def run(source: Node, end: Node, value: Tensor) -> Tensor:
    if end is source:
        return value
    moved: Tensor = end.target(run(source, end.all_input_nodes[0], value), *end.args[1:])  # type: ignore[operator]
    return moved


def candidates(before: tuple[int, ...], after: tuple[int, ...]) -> Iterator[list[Step]]:
    reshape, permute = aten.reshape.default, aten.permute.default
    yield [] if before == after else [(reshape, list(after))]
    if len(after) == 4:  # a pixel-major sequence to an image
        n, c, h, w = after
        yield [(reshape, [n, h, w, c]), (permute, [0, 3, 1, 2])]
    if len(before) == 4 and len(after) == 4:  # an image to another image with the same sequence of pixels
        n, c, h, w = after
        yield [(permute, [0, 2, 3, 1]), (reshape, [n, h, w, c]), (permute, [0, 3, 1, 2])]
    if len(before) == 4:  # an image to a pixel-major sequence
        yield [(permute, [0, 2, 3, 1]), (reshape, list(after))]


def apply(steps: list[Step], value: Tensor) -> Tensor:
    for target, argument in steps:
        value = target(value, argument)
    return value
