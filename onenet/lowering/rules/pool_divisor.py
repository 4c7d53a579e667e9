"""average pool with a divisor of its own -> average of whole windows, over zeros that are a pad, times a number

torch.onnx 2.13 drops the divisor without a word.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch.fx import Node

from onenet.lowering.graph import Graph, arguments, shape, spread
from onenet.lowering.operators import aten
from onenet.lowering.rule import Rule


class PoolDivisor(Rule[Node]):
    """A divisor becomes a factor."""

    steps = (11,)

    def matches(self, graph: Graph) -> Iterator[Node]:
        return (node for node in graph.calls(aten.avg_pool2d.default) if arguments(node)[6] is not None)

    def rewrite(self, graph: Graph, place: Node) -> None:
        source, kernel, stride, padding, _, _, divisor = arguments(place)
        kernel, padding = spread(kernel, 2), spread(padding, 2)
        strides = spread(stride, 2) if stride else kernel
        zeros: list[int] = []
        for axis in (1, 0):  # the last axis first, as pads are written
            reach = (shape(place)[-2:][axis] - 1) * strides[axis] + kernel[axis]
            zeros += [padding[axis], max(reach - padding[axis] - shape(source)[-2:][axis], 0)]
        with graph.before(place):
            if any(zeros):
                source = graph.call(aten.constant_pad_nd.default, source, zeros)
            mean = graph.call(aten.avg_pool2d.default, source, kernel, strides)
            graph.replace(place, graph.call(aten.mul.Tensor, mean, kernel[0] * kernel[1] / divisor))


RULE = PoolDivisor()
