"""convolution or linear -> affine per channel -> the same layer with scaled weights and a new bias"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.fx import Node

from onenet.lowering.graph import Graph, arguments, channel_affine, shape, source_of, target_of
from onenet.lowering.operators import CONVOLUTIONS, TRANSPOSED_CONVOLUTION
from onenet.lowering.rule import Rule


class FoldBackward(Rule[Node]):
    """An affine goes into the weights of the layer before it."""

    steps = (90,)

    def matches(self, graph: Graph) -> Iterator[Node]:
        layers = (*CONVOLUTIONS, TRANSPOSED_CONVOLUTION)
        return (affine for affine in graph.calls(channel_affine) if source_of(affine).target in layers)

    def check(self, graph: Graph, place: Node) -> str | None:
        layer = source_of(place)
        if len(layer.users) > 1:
            return "the convolution's result is used without the affine as well"
        if layer.target is TRANSPOSED_CONVOLUTION and arguments(layer)[6] != 1:
            return "a grouped transposed convolution"
        return None if graph.value(layer.args[1]) is not None else "the convolution's weight is computed"

    def rewrite(self, graph: Graph, place: Node) -> None:
        layer = source_of(place)
        source, weight_node, bias_node, *options = arguments(layer)
        weight, bias = graph.constant_value(weight_node), graph.value(bias_node)
        scale, shift = graph.constant_value(place.args[1]), graph.constant_value(place.args[2])
        size = [1] * weight.dim()
        size[1 if layer.target is TRANSPOSED_CONVOLUTION else 0] = -1
        old_bias = torch.zeros(shape(layer)[1], dtype=weight.dtype) if bias is None else bias
        with graph.before(place):
            new_weight = graph.constant(weight * scale.reshape(size))
            new_bias = graph.constant(old_bias * scale + shift)
            graph.replace(place, graph.call(target_of(layer), source, new_weight, new_bias, *options))


RULE = FoldBackward()
