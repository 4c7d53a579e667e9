"""affine per channel that could not be folded -> depthwise 1x1 convolution

One integer kernel with a scale per channel in every runtime, where a multiply and an add would be two roundings and, in
litert-torch's quantizer, floats.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch.fx import Node

from onenet.lowering.graph import Graph, channel_affine, shape, source_of
from onenet.lowering.operators import CONVOLUTION_OF_RANK
from onenet.lowering.rule import Rule
from onenet.lowering.rules.plain_affine import uniform


class DepthwiseAffine(Rule[Node]):
    """An affine that nothing took up becomes a depthwise convolution."""

    steps = (140,)

    def matches(self, graph: Graph) -> Iterator[Node]:
        return graph.calls(channel_affine)

    def check(self, graph: Graph, place: Node) -> str | None:
        rank = len(shape(place)) - 2
        if rank not in CONVOLUTION_OF_RANK:
            return f"{rank} spatial axes"
        numbers = [uniform(graph.constant_value(each)) for each in place.args[1:]]
        return "the same number for every channel: a plain multiplication or addition" if None not in numbers else None

    def rewrite(self, graph: Graph, place: Node) -> None:
        scale, shift = graph.constant_value(place.args[1]), graph.constant_value(place.args[2])
        rank, channels = len(shape(place)) - 2, shape(place)[1]
        ones, zeros = [1] * rank, [0] * rank
        with graph.before(place):
            constants = [graph.constant(scale.reshape(-1, 1, *ones)), graph.constant(shift)]
            options = [ones, zeros, ones, channels]
            graph.replace(place, graph.call(CONVOLUTION_OF_RANK[rank], source_of(place), *constants, *options))


RULE = DepthwiseAffine()
