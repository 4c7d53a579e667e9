"""ConvTranspose2d with stride 1 -> Conv2d with the kernel turned round

Every runtime has convolutions, in int8 too; of transposed ones not every kind.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import cat
from torch.fx import Node

from onenet.lowering.graph import Graph, arguments, shape, spread
from onenet.lowering.operators import TRANSPOSED_CONVOLUTION, aten
from onenet.lowering.rule import Rule


class UnstridedTransposed(Rule[Node]):
    """A transposed convolution that enlarges nothing becomes a convolution."""

    steps = (95,)

    def matches(self, graph: Graph) -> Iterator[Node]:
        for node in graph.calls(TRANSPOSED_CONVOLUTION):
            if spread(arguments(node)[3], 2) == [1, 1]:
                yield node

    def check(self, graph: Graph, place: Node) -> str | None:
        _, weight, _, _, _, output_padding, _, _ = arguments(place)
        if graph.value(weight) is None:
            return "the weight is computed"
        if any(spread(output_padding, 2)):
            return "padded at one end alone"
        return None if min(rest(place)) >= 0 else "more padding than the kernel reaches"

    def rewrite(self, graph: Graph, place: Node) -> None:
        source, weight_node, bias, _, _, _, groups, dilation = arguments(place)
        weight = graph.constant_value(weight_node)  # (C_in, C_out / groups, h, w)
        parts = [each.transpose(0, 1).flip(2, 3) for each in weight.chunk(groups)]
        with graph.before(place):
            kernel = graph.constant(cat(parts))
            new = graph.call(aten.conv2d.default, source, kernel, bias, [1, 1], rest(place), dilation, groups)
            graph.replace(place, new)


def rest(node: Node) -> list[int]:
    """Padding of the convolution along each axis: what of its kernel's reach the transposed one does not take off."""
    _, weight, _, _, padding, _, _, dilation = arguments(node)
    reach = [d * (size - 1) for d, size in zip(spread(dilation, 2), shape(weight)[2:], strict=True)]
    return [each - p for each, p in zip(reach, spread(padding, 2), strict=True)]


RULE = UnstridedTransposed()
