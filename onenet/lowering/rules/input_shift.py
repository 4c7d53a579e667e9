"""depthwise 1x1 convolution of an input -> convolution with zero padding: an addition, and the convolution with scaled weights

``(x - mean) / std`` before a padded convolution: the padding means 0 behind the normalisation, so the mean must be taken away
before it, but the division commutes with zeros. An image has so few channels that a depthwise convolution of them leaves most
of a vector unit idle (``bench/pays.py``). In float only: in int8 the convolution keeps the mean in its exact bias.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.fx import Node

from onenet.lowering.graph import Graph, arguments, shape, source_of, spread, users
from onenet.lowering.operators import aten
from onenet.lowering.rule import Rule
from onenet.lowering.rules.fold_forward import obstacle, push
from onenet.lowering.rules.plain_affine import combined

FEW = 8
"""Channels from which a depthwise convolution fills a vector unit."""


class InputShift(Rule[Node]):
    """The normalisation of an image leaves an addition; its scale goes into the convolution behind it."""

    def matches(self, graph: Graph) -> Iterator[Node]:
        return (node for node in graph.calls(aten.conv2d.default) if is_normalisation(graph, node))

    def check(self, graph: Graph, place: Node) -> str | None:
        if not bool(factors(graph, place).all()):
            return "a channel is multiplied by 0"
        return next(filter(None, (obstacle(graph, user, place, shifted=False) for user in users(place))), None)

    def rewrite(self, graph: Graph, place: Node) -> None:
        scale = factors(graph, place)
        bias = graph.value(arguments(place)[2])
        with graph.before(place):
            source = source_of(place)
            if bias is not None:
                source = combined(graph, aten.add.Tensor, source, bias / scale, 0, len(shape(place)))
        for user in users(place):
            push(graph, user, place, source, scale, torch.zeros_like(scale))


def is_normalisation(graph: Graph, node: Node) -> bool:
    """Whether a convolution gives every channel of an input a factor and an addend of its own."""
    source, weight, bias, _, padding, _, groups = arguments(node)
    known = graph.value(weight) is not None and (bias is None or graph.value(bias) is not None)
    alone = source.op == "placeholder" and groups == shape(source)[1] == shape(node)[1] < FEW
    return known and alone and shape(weight)[2:] == (1, 1) and shape(node) == shape(source) and not any(spread(padding, 2))


def factors(graph: Graph, node: Node) -> Tensor:
    """What a depthwise 1x1 convolution multiplies each channel by."""
    return graph.constant_value(node.args[1]).flatten()


RULE = InputShift()
