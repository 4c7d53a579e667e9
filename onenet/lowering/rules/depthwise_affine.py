"""affine per channel that could not be folded -> depthwise 1x1 convolution

One integer kernel with a scale per channel in every runtime, where a multiply and an add would be two roundings and, in
litert-torch's quantizer, floats.
"""

from __future__ import annotations

from torch.fx import Node

from onenet.lowering.graph import Graph, aten, channel_affine, shape
from onenet.lowering.rule import Report


def rewrite(graph: Graph, report: Report) -> None:
    for node in graph.calls(channel_affine):
        source, scale, shift = node.args[0], graph.value(node.args[1]), graph.value(node.args[2])
        assert isinstance(source, Node) and scale is not None and shift is not None
        rank, channels = len(shape(source)) - 2, shape(source)[1]
        convolution = {1: aten.conv1d.default, 2: aten.conv2d.default}.get(rank)
        if convolution is None:
            report.decline(f"{rank} spatial axes")
            continue
        with graph.before(node):
            weight = graph.constant(scale.reshape(-1, 1, *[1] * rank))
            ones, zeros = [1] * rank, [0] * rank
            options = [ones, zeros, ones, channels]
            graph.replace(node, graph.call(convolution, source, weight, graph.constant(shift), *options))
        report.apply()
