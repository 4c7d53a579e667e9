"""x + c, x - c, x * c, x / c with a constant (1, C, 1, 1) of few channels -> with a constant (1, C, 1, W)

TFLite keeps the channels of a pixel together, and XNNPACK works along the values that two operands have alike: with one value
per channel that is a pixel, of three values in an image; with a row of them it is the row. 4 times as fast on three channels
(``bench/pays.py``), for some kilobytes.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch.fx import Node

from onenet.lowering.graph import Graph, shape, target_of
from onenet.lowering.operators import aten
from onenet.lowering.rule import Rule
from onenet.lowering.rules.input_shift import FEW


class RowConstant(Rule[Node]):
    """Arithmetic with a value per channel becomes arithmetic with a row of them."""

    def matches(self, graph: Graph) -> Iterator[Node]:
        for node in graph.calls(aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor):
            if not node.kwargs and any(is_one_per_channel(graph, each, shape(node)) for each in node.args):
                yield node

    def rewrite(self, graph: Graph, place: Node) -> None:
        width = shape(place)[3]
        with graph.before(place):
            operands = [
                graph.constant(graph.constant_value(each).expand(-1, -1, -1, width))
                if is_one_per_channel(graph, each, shape(place))
                else each
                for each in place.args
            ]
            graph.replace(place, graph.call(target_of(place), *operands))


def is_one_per_channel(graph: Graph, operand: object, result: tuple[int, ...]) -> bool:
    """Whether an operand is a constant (1, C, 1, 1) for a result (N, C, H, W) of few channels."""
    value = graph.value(operand)
    return value is not None and len(result) == 4 and 1 < result[1] < FEW and value.shape == (1, result[1], 1, 1) != result


RULE = RowConstant()
