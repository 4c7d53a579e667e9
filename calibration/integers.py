"""What an int8 program computes otherwise than the float one, because kernels for it are others.

x/6 + 1/2 between 0 and 1, the hard sigmoid, is x + 3 between 0 and 6, divided by 6. No runtime has the first in int8; all have
sums, which saturate where the hard sigmoid is flat, and products. The product keeps the sum's integers, so a format that lets
what reads them say another scale needs none.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch.fx import GraphModule, Node

from onenet.lowering.graph import Graph, shape, source_of
from onenet.lowering.operators import DEQUANTIZE, QUANTIZE, aten

HARD_SIGMOID = aten.hardsigmoid.default
HALF, SLOPE = 3.0, 1 / 6
FARTHEST = 2.0**9
"""How much larger the sum's scale may be than that of what is added up; XNNPACK takes twice as much."""


def in_integers(program: GraphModule) -> GraphModule:
    """A calibrated program with its hard sigmoids of int8 values as sums and products; the program itself without any."""
    if not program.graph.find_nodes(op="call_function", target=HARD_SIGMOID):
        return program
    graph = Graph.of(program)
    for node in graph.calls(HARD_SIGMOID):
        if source_of(node).target is DEQUANTIZE and all(user.target is QUANTIZE for user in node.users):
            as_sum(graph, node)
    return graph.finish()


def as_sum(graph: Graph, gate: Node) -> None:
    """Put a sum and a product in the place of a hard sigmoid, where its scales are near enough to each other."""
    read, written = (cast(tuple[Any, ...], node.args) for node in (source_of(gate), next(iter(gate.users))))
    wide = written[1] / SLOPE
    if not wide / FARTHEST <= read[1] <= wide * FARTHEST:
        return
    rank = len(shape(gate))
    with graph.before(gate):
        half, slope = (stored(graph, graph.constant(torch.full([1] * rank, each)), each / 255, -128) for each in (HALF, SLOPE))
        total = stored(graph, graph.call(aten.add.Tensor, source_of(gate), half), wide, written[2])
        graph.replace(gate, graph.call(aten.mul.Tensor, total, slope))


def stored(graph: Graph, value: Node, scale: float, zero_point: int) -> Node:
    """A value through int8 and back. A positive constant is the largest integer of its scale, so nothing of it is rounded."""
    scheme = (scale, zero_point, -128, 127, torch.int8)
    return graph.call(DEQUANTIZE, graph.call(QUANTIZE, value, *scheme), *scheme)
