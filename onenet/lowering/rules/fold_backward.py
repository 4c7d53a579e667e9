"""convolution or linear -> [reshape, permute] -> affine per channel -> the same layer with scaled weights and a new bias

Behind a linear layer and behind moves, where axis 1 is no longer the layer's channels, only an affine that is the same number
for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.fx import Node

from onenet.lowering.graph import Graph, arguments, channel_affine, source_of, target_of
from onenet.lowering.operators import CONVOLUTIONS, MOVES, TRANSPOSED_CONVOLUTION, aten
from onenet.lowering.rule import Rule
from onenet.lowering.rules.plain_affine import uniform

WITH_CHANNELS = (*CONVOLUTIONS, TRANSPOSED_CONVOLUTION)
"""Layers whose result has its channels on axis 1."""
LAYERS = (*WITH_CHANNELS, aten.linear.default)


class FoldBackward(Rule[Node]):
    """An affine goes into the weights of the layer before it."""

    steps = (90,)

    def matches(self, graph: Graph) -> Iterator[Node]:
        return (affine for affine in graph.calls(channel_affine) if layer_of(source_of(affine)).target in LAYERS)

    def check(self, graph: Graph, place: Node) -> str | None:
        source = source_of(place)
        numbers = [uniform(graph.constant_value(each)) for each in place.args[1:]]
        if source.target not in WITH_CHANNELS and None in numbers:
            return "behind a linear layer or a reshape, and the channels differ"
        return obstacle(graph, source)

    def rewrite(self, graph: Graph, place: Node) -> None:
        layer = layer_of(source_of(place))
        source, weight_node, bias_node, *options = arguments(layer)
        weight, bias = graph.constant_value(weight_node), graph.value(bias_node)
        axis = 1 if layer.target is TRANSPOSED_CONVOLUTION else 0
        scale, shift = (fitted(graph.constant_value(each), weight.shape[axis]) for each in place.args[1:])
        size = [1] * weight.dim()
        size[axis] = -1
        old_bias = torch.zeros_like(scale) if bias is None else bias
        with graph.before(layer):
            new_weight = graph.constant(weight * scale.reshape(size))
            new_bias = graph.constant(old_bias * scale + shift)
            result = graph.call(target_of(layer), source, new_weight, new_bias, *options)
        place.replace_all_uses_with(source_of(place))
        graph.erase(place)
        graph.replace(layer, result)


def layer_of(node: Node) -> Node:
    """Where the values of a node come from, behind operators that only bring them to other places."""
    while node.target in MOVES:
        node = source_of(node)
    return node


def obstacle(graph: Graph, node: Node) -> str | None:
    """Why the layer of ``layer_of`` cannot take up a number that all of ``node`` is multiplied by; None where it can."""
    while node.target in MOVES and len(node.users) == 1:
        node = source_of(node)
    if len(node.users) > 1:
        return "the layer's result is used without the affine as well"
    if node.target is TRANSPOSED_CONVOLUTION and arguments(node)[6] != 1:
        return "a grouped transposed convolution"
    return None if graph.value(node.args[1]) is not None else "the layer's weight is computed"


def fitted(value: Tensor, channels: int) -> Tensor:
    """The value of each channel, for another number of channels where all are alike."""
    return value if len(value) == channels else value[:1].expand(channels)


RULE = FoldBackward()
