"""layer, clamp, quantize -> layer, quantize; where the int8 range ends behind the clamp: layer, quantize, clamp

Calibration gives a layer and the ReLU6 or clamp behind it one scale, that of the clamped values. Quantizing saturates at the
ends of its range, so a clamp at these or beyond them does nothing. Between a layer and its quantize operator it would keep
runtimes from computing the layer in int8.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from torch.fx import Node

from onenet.lowering.graph import Graph, limits_of, source_of
from onenet.lowering.operators import DEQUANTIZE, JOINED, QUANTIZE, RELU
from onenet.lowering.rule import Rule

LESS_THAN_HALF = 0.499
"""Of a step: what float32 makes of a half may be more."""


class Int8Clamp(Rule[Node]):
    """A clamp leaves the place between a layer and the quantize operator that alone reads it.

    Exact, because rounding keeps the order of values: what is rounded and cut off at a number, and rounded again, is what is
    cut off and rounded.
    """

    def matches(self, graph: Graph) -> Iterator[Node]:
        for node in graph.calls(*JOINED):
            alone = node.target not in RELU and [user.target for user in node.users] == [QUANTIZE]
            if alone and source_of(node).target is not DEQUANTIZE:
                yield node

    def rewrite(self, graph: Graph, place: Node) -> None:
        source, scheme = source_of(place), next(iter(place.users)).args[1:]
        if saturates(scheme, limits_of(place)):
            graph.replace(place, source)
            return
        with graph.before(place):
            before = graph.call(DEQUANTIZE, graph.call(QUANTIZE, source, *scheme), *scheme)
        place.replace_input_with(source, before)


def saturates(scheme: tuple[Any, ...], limits: tuple[float, float]) -> bool:
    """Whether both limits are quantized to the ends of the int8 range."""
    scale, zero_point, first, last = cast(tuple[float, int, int, int], scheme[:4])
    low, high = (each / scale + zero_point for each in limits)
    return low < first + LESS_THAN_HALF and high > last - LESS_THAN_HALF


RULE = Int8Clamp()
