"""Conv1d(1 -> O, kernel = stride = C) on a sequence (N, 1, L) -> reshape to (N, C, L/C), Conv1d(C -> O, 1x1)

OneNet's channel-wise convolution (arXiv 2411.09838, section 3.2) is a matrix product per pixel. Converters map the literal
form to a depthwise or strided convolution with one input channel, which int8 kernels run 10 times slower.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch.fx import Node

from onenet.lowering.graph import Graph, arguments, shape, spread
from onenet.lowering.operators import aten
from onenet.lowering.rule import Rule


class ChannelwiseConv(Rule[Node]):
    """A strided 1D convolution over whole pixels becomes a pointwise one on planes."""

    steps = (40,)

    def matches(self, graph: Graph) -> Iterator[Node]:
        for node in graph.calls(aten.conv1d.default):
            weight = graph.value(arguments(node)[1])
            if weight is not None and weight.shape[1] == 1 and not weight.shape[0] == weight.shape[2] == 1:
                yield node

    def check(self, graph: Graph, place: Node) -> str | None:
        source, weight, _, stride, padding, dilation, groups = arguments(place)
        kernel = shape(weight)[2]
        if spread(stride, 1) != [kernel]:
            return "kernel and stride differ: a spatial convolution"
        if spread(padding, 1) != [0] or (kernel > 1 and spread(dilation, 1) != [1]) or groups != 1:
            return "padded, dilated or grouped"
        if shape(source)[2] % kernel:
            return "the sequence is not a whole number of kernels"
        return None

    def rewrite(self, graph: Graph, place: Node) -> None:
        source, weight_node, bias, *_ = arguments(place)
        weight = graph.constant_value(weight_node)
        n, _, length = shape(source)
        channels = weight.shape[2]
        with graph.before(place):
            pixels = graph.call(aten.reshape.default, source, [n, length // channels, channels])
            planes = graph.call(aten.permute.default, pixels, [0, 2, 1])
            mixed = graph.constant(weight.transpose(1, 2))
            graph.replace(place, graph.call(aten.conv1d.default, planes, mixed, bias))


RULE = ChannelwiseConv()
