"""pixel shuffle and unshuffle -> transposes of rank 4 on pixel-major data; where a convolution made the channels, one transpose

Runtimes for CPUs keep pixels together (NHWC) or are fast on it, and move whole rows of a patch with memcpy. Their own forms of
these operators are transposes of rank 5 and 6, or of single values. A shuffle whose channels come from a convolution needs
only the rows: the convolution's output channels are put in the order that is left. Measured by ``bench/forms.py``.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.fx import Node

from onenet.lowering.graph import Graph, arguments, shape, source_of, target_of
from onenet.lowering.operators import (
    DEQUANTIZE,
    DEQUANTIZE_CHANNELS,
    PIXELS,
    PLANES,
    QUANTIZE,
    QUANTIZE_CHANNELS,
    SHUFFLES,
    aten,
)
from onenet.lowering.rule import Rule

PASSES = (aten.relu.default, QUANTIZE, DEQUANTIZE)
"""What treats every channel alike."""


class PixelOrder(Rule[Node]):
    """Shuffles become transposes on pixel-major data."""

    def matches(self, graph: Graph) -> Iterator[Node]:
        return graph.calls(*SHUFFLES)

    def check(self, graph: Graph, place: Node) -> str | None:
        rank = len(shape(place))
        return None if rank == 4 else f"{rank - 3} batch axes"

    def rewrite(self, graph: Graph, place: Node) -> None:
        move = unshuffle if place.target is aten.pixel_unshuffle.default else shuffle
        source, factor = arguments(place)
        with graph.before(place):
            graph.replace(place, move(graph, source, factor, shape(place)))


def unshuffle(graph: Graph, source: Node, r: int, to: tuple[int, ...]) -> Node:
    """(N, C, rH, rW) -> (N, C*r*r, H, W): the rows of a patch side by side, then its r*r pixels into each channel."""
    n, channels, h, w = to
    c = channels // (r * r)
    pixels = graph.call(aten.permute.default, source, PIXELS)
    rows = graph.call(aten.reshape.default, pixels, [n * h, r, w, r * c])
    patches = graph.call(aten.permute.default, rows, [0, 2, 1, 3])
    patches = graph.call(aten.reshape.default, patches, [n * h, w, r * r, c])
    mixed = graph.call(aten.permute.default, patches, [0, 1, 3, 2])
    image = graph.call(aten.reshape.default, mixed, [n, h, w, channels])
    return graph.call(aten.permute.default, image, PLANES)


def shuffle(graph: Graph, source: Node, r: int, to: tuple[int, ...]) -> Node:
    """(N, C*r*r, H, W) -> (N, C, rH, rW): the r*r pixels out of each channel, then the rows of a patch below one another."""
    n, channels, h, w = shape(source)
    c = channels // (r * r)
    order = torch.arange(channels).reshape(c, r * r).T.flatten()
    if can_reorder(graph, source):
        pixels = graph.call(aten.permute.default, reordered(graph, source, order), PIXELS)
    else:
        mixed = graph.call(aten.permute.default, source, PIXELS)
        mixed = graph.call(aten.reshape.default, mixed, [n * h, w, c, r * r])
        pixels = graph.call(aten.permute.default, mixed, [0, 1, 3, 2])
    image = image_of_patches(graph, pixels, r, [n, to[2], to[3], c])
    return graph.call(aten.permute.default, image, PLANES)


def image_of_patches(graph: Graph, patches: Node, r: int, to: list[int]) -> Node:
    """r*r pixels of c channels at every place -> the image (n, r*h, r*w, c) of them: the rows of a patch below one another."""
    n, height, width, c = to
    beside = graph.call(aten.reshape.default, patches, [n * height // r, width // r, r, r * c])
    below = graph.call(aten.permute.default, beside, [0, 2, 1, 3])
    return graph.call(aten.reshape.default, below, to)


def can_reorder(graph: Graph, node: Node) -> bool:
    """Whether the channels of ``node`` come from a convolution that nobody else reads."""
    if len(node.users) > 1:
        return False
    if node.target in PASSES:
        return can_reorder(graph, source_of(node))
    if node.target is not aten.conv2d.default:
        return False
    source, weight, bias, *_, groups = arguments(node)
    if not is_constant(graph, weight) or not (bias is None or is_constant(graph, bias)):
        return False
    depthwise = groups == shape(node)[1] == shape(source)[1]
    return bool(groups == 1 or (depthwise and can_reorder(graph, source)))


def reordered(graph: Graph, node: Node, order: Tensor) -> Node:
    """A copy of ``node``, at the current place, with output channel i taken from channel order[i]."""
    if node.target in PASSES:
        return graph.call(target_of(node), reordered(graph, source_of(node), order), *node.args[1:])
    source, weight, bias, *options, groups = arguments(node)
    if groups != 1:
        source = reordered(graph, source, order)
    weight, bias = reordered_constant(graph, weight, order), bias and reordered_constant(graph, bias, order)
    return graph.call(target_of(node), source, weight, bias, *options, groups)


def is_constant(graph: Graph, node: Node) -> bool:
    """A constant, or one behind its own quantization per output channel."""
    if node.target in (QUANTIZE_CHANNELS, DEQUANTIZE_CHANNELS):
        return bool(node.args[3] == 0) and all(is_constant(graph, each) for each in node.all_input_nodes)
    return graph.value(node) is not None


def reordered_constant(graph: Graph, node: Node, order: Tensor) -> Node:
    """A constant, or one behind its own quantization, with its first axis in another order."""
    value = graph.value(node)
    if value is not None:
        return graph.constant(value[order])
    inputs = [reordered_constant(graph, each, order) for each in node.all_input_nodes]  # value, scales, zero points
    return graph.call(target_of(node), *inputs, *node.args[3:])


RULE = PixelOrder()
