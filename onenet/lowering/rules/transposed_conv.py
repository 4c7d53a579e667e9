"""ConvTranspose2d(k = s, no overlap) -> Conv2d 1x1 to k*k*C channels, pixel shuffle

Exact, since no two output pixels share an input; and quantizable, where converters leave transposed convolutions in float.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch.fx import Node

from onenet.lowering.graph import Graph, arguments, shape, spread
from onenet.lowering.operators import TRANSPOSED_CONVOLUTION, aten
from onenet.lowering.rule import Rule


class TransposedConv(Rule[Node]):
    """A transposed convolution without overlap becomes a 1x1 convolution and a shuffle."""

    steps = (100,)

    def matches(self, graph: Graph) -> Iterator[Node]:
        return graph.calls(TRANSPOSED_CONVOLUTION)

    def check(self, graph: Graph, place: Node) -> str | None:
        _, weight, _, stride, padding, output_padding, groups, dilation = arguments(place)
        kernel = list(shape(weight)[2:])
        if graph.value(weight) is None:
            return "the weight is computed"
        if spread(stride, 2) != kernel or kernel[0] != kernel[1]:
            return "kernel and stride differ: outputs overlap or leave gaps"
        if any(spread(padding, 2)) or any(spread(output_padding, 2)) or groups != 1 or spread(dilation, 2) != [1, 1]:
            return "padded, grouped or dilated"
        return None

    def rewrite(self, graph: Graph, place: Node) -> None:
        source, weight_node, bias_node, *_ = arguments(place)
        weight, bias = graph.constant_value(weight_node), graph.value(bias_node)  # (C_in, C_out, k, k)
        factor = weight.shape[2]
        with graph.before(place):
            mixing = graph.constant(weight.permute(1, 2, 3, 0).reshape(-1, weight.shape[0], 1, 1))
            offset = None if bias is None else graph.constant(bias.repeat_interleave(factor * factor))
            planes = graph.call(aten.conv2d.default, source, mixing, offset)
            graph.replace(place, graph.call(aten.pixel_shuffle.default, planes, factor))


RULE = TransposedConv()
