"""Conv2d 3x3 -> 16 depthwise transforms, 16 Conv2d 1x1 with 4/9 of the multiplications, sums, shuffle (Winograd F(2x2, 3x3))

Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks" (arXiv 1509.09308), equations 8 to 11, as operators that
every runtime has; XNNPACK and ONNX Runtime compute 3x3 convolutions directly. In float only: the transforms would need int8
scales of their own. The weights take 16/9 of their size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch.fx import Node

from onenet.lowering.graph import Graph, arguments, shape, spread, users
from onenet.lowering.operators import PIXELS, PLANES, aten
from onenet.lowering.rule import Rule
from onenet.lowering.rules.pixel_order import image_of_patches

INPUT = torch.tensor([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], dtype=torch.float64)
WEIGHT = torch.tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], dtype=torch.float64)
"""B transposed and G of the paper's equation 10; the output transform, A transposed, is ``folded``."""
TAPS = (3, 3, 3, 4)
"""Up to where each row of ``INPUT`` has values: a transform's kernel."""
LEAST_GAIN = 0.1
"""Share of a layer's time that must be gained: the file is larger by 7/9 of the layer's weights."""
PRODUCTS, TRANSFORMS, WEIGHTS = 0.6, 30, 10
"""What ``share_of_time`` adds up, fitted to ``bench/pays.py`` in ONNX Runtime; TFLite gains more, or as much."""

Kernels = dict[tuple[int, int, int], Node]
"""Row and column of a transform, and channels -> its kernel."""


class Place(NamedTuple):
    """A 3x3 convolution, and the transforms' kernels that those before it made: all share them."""

    node: Node
    kernels: Kernels


class Winograd(Rule[Place]):
    """A wide 3x3 convolution is computed by Winograd's method."""

    larger = True

    def matches(self, graph: Graph) -> Iterator[Place]:
        kernels: Kernels = {}
        for node in graph.calls(aten.conv2d.default):
            if shape(arguments(node)[1])[2:] == (3, 3):
                yield Place(node, kernels)

    def check(self, graph: Graph, place: Place) -> str | None:
        _, weight, bias, stride, _, dilation, groups = arguments(place.node)
        if graph.value(weight) is None or (bias is not None and graph.value(bias) is None):
            return "the weight is computed"
        if spread(stride, 2) != [1, 1] or spread(dilation, 2) != [1, 1] or groups != 1:
            return "strided, dilated or grouped"
        if any(size % 2 for size in shape(place.node)[2:]):
            return "an odd height or width"
        c_out, c_in = shape(weight)[:2]
        gain = 1 - share_of_time(c_in, c_out, math.prod(shape(place.node)[2:]))
        return "too few channels or pixels to gain a tenth of its time" if gain <= LEAST_GAIN else None

    def rewrite(self, graph: Graph, place: Place) -> None:
        node = place.node
        end = next((each for each in users(node) if each.target is aten.relu.default and len(node.users) == 1), node)
        n, c_out, height, width = shape(node)
        with graph.before(end):
            lines = [folded(graph, products) for products in multiplied(graph, place)]
            columns = [folded(graph, [line[j] for line in lines]) for j in (0, 1)]
            corners = [columns[j][i] for i in (0, 1) for j in (0, 1)]
            if end is not node:
                corners = [graph.call(aten.relu.default, each) for each in corners]
            pixels = [graph.call(aten.permute.default, each, PIXELS) for each in corners]
            patches = graph.call(aten.cat.default, pixels, 3)
            image = image_of_patches(graph, patches, 2, [n, height, width, c_out])
            graph.replace(end, graph.call(aten.permute.default, image, PLANES))
        graph.erase(node)


def share_of_time(c_in: int, c_out: int, pixels: int) -> float:
    """Time of a layer by Winograd's method over its time without: the products, the transforms of values that every
    multiplication shares with fewer others, and weights that fewer pixels share. ``bench/pays.py`` measures both.
    """
    return PRODUCTS + TRANSFORMS * (1 / c_in + 1 / c_out) + WEIGHTS / pixels


def multiplied(graph: Graph, place: Place) -> Iterator[list[Node]]:
    """The 4x4 products of transformed patches and transformed weights, line by line."""
    source, weight_node, bias_node, _, padding, *_ = arguments(place.node)
    weight, bias = graph.constant_value(weight_node), graph.value(bias_node)
    weights = torch.einsum("ai,ocij,bj->aboc", WEIGHT.to(weight), weight, WEIGHT.to(weight))
    vertical, horizontal = spread(padding, 2)
    if vertical or horizontal:
        source = graph.call(aten.constant_pad_nd.default, source, [horizontal, horizontal, vertical, vertical])
    for a in range(4):
        products = []
        for b in range(4):
            patch = transformed(graph, source, a, b, place.kernels)
            offset = graph.constant(bias) if bias is not None and a == b == 1 else None  # this one is in every sum, once
            products.append(graph.call(aten.conv2d.default, patch, graph.constant(weights[a, b, :, :, None, None]), offset))
        yield products


def transformed(graph: Graph, source: Node, a: int, b: int, kernels: Kernels) -> Node:
    """Value (a, b) of every transformed 4x4 patch; the patches lie two pixels apart. All convolutions share ``kernels``."""
    channels = shape(source)[1]
    if (a, b, channels) not in kernels:
        taps = torch.outer(INPUT[a, : TAPS[a]], INPUT[b, : TAPS[b]]).to(source.meta["val"].dtype)
        kernels[a, b, channels] = graph.constant(taps.expand(channels, 1, -1, -1))
    return graph.call(aten.conv2d.default, source, kernels[a, b, channels], None, [2, 2], [0, 0], [1, 1], channels)


def folded(graph: Graph, parts: list[Node]) -> tuple[Node, Node]:
    """Two outputs of four products: 0 + 1 + 2 and 1 - 2 - 3."""
    add, sub = aten.add.Tensor, aten.sub.Tensor
    first = graph.call(add, graph.call(add, parts[0], parts[1]), parts[2])
    return first, graph.call(sub, graph.call(sub, parts[1], parts[2]), parts[3])


RULE = Winograd()
