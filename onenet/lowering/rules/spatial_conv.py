"""Conv1d(1 -> 1, k) on a sequence (N, 1, L) -> reshape to blocks of 16, Conv2d(16 -> 16, 1x3) with a block-Toeplitz weight

OneNet's spatial convolution (arXiv 2411.09838, section 3.2) has one channel, so vector units idle; as a matrix product of
blocks it keeps them busy, although it multiplies more. Output block j needs the input blocks j-1, j and j+1, whatever k up to
2 * 16 - 1 is. A reflected end is a block too: the first or last block times a matrix of zeros and ones.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.fx import Node

from onenet.lowering.graph import Graph, arguments, shape, source_of, spread, users
from onenet.lowering.operators import PIXELS, PLANES, aten
from onenet.lowering.rule import Rule
from onenet.lowering.rules.reflect_pad import is_reflect_pad

BLOCK = 16
"""Of 8, 16 and 32 the fastest in int8 and in ONNX Runtime, and level with 8 in TFLite fp32 (``bench/forms.py``)."""


class SpatialConv(Rule[Node]):
    """A one-channel 1D convolution becomes a product of blocks."""

    steps = (20,)

    def matches(self, graph: Graph) -> Iterator[Node]:
        """What is not channel-wise, pointwise or an ordinary convolution."""
        for node in graph.calls(aten.conv1d.default):
            _, weight_node, _, stride, *_ = arguments(node)
            weight = graph.value(weight_node)
            one_channel = weight is not None and weight.shape[:2] == (1, 1) and weight.shape[2] > 1
            if one_channel and spread(stride, 1) == [1]:
                yield node

    def check(self, graph: Graph, place: Node) -> str | None:
        _, weight, _, _, _, dilation, _ = arguments(place)
        source, _, padding = unpadded(place)
        if spread(dilation, 1) != [1]:
            return "dilated"
        if padding != shape(weight)[2] - 1:
            return "the output is not as long as the input"
        if padding // 2 >= BLOCK:
            return f"the kernel reaches further than a block of {BLOCK}"
        if shape(source)[2] % BLOCK:
            return f"the sequence is not a multiple of {BLOCK}"
        return None

    def rewrite(self, graph: Graph, place: Node) -> None:
        source, reflected, padding = unpadded(place)
        _, weight, bias_node, *_ = arguments(place)
        bias = graph.value(bias_node)
        n, _, length = shape(source)
        end = next((each for each in users(place) if each.target is aten.relu.default and len(place.users) == 1), place)
        with graph.before(end):
            blocks = graph.call(aten.reshape.default, source, [n, 1, length // BLOCK, BLOCK])
            planes = graph.call(aten.permute.default, blocks, PLANES)
            if reflected:
                planes = with_ends(graph, planes, padding // 2)
            wide = None if bias is None else graph.constant(bias.expand(BLOCK))
            kernel = graph.constant(toeplitz(graph.constant_value(weight).flatten()))
            result = graph.call(aten.conv2d.default, planes, kernel, wide, [1, 1], [0, 0 if reflected else 1])
            if end is not place:
                result = graph.call(aten.relu.default, result)
            result = graph.call(aten.permute.default, result, PIXELS)
            graph.replace(end, graph.call(aten.reshape.default, result, [n, 1, length]))
        graph.erase(place)


def unpadded(node: Node) -> tuple[Node, bool, int]:
    """The sequence before a reflect pad, whether there is one, and the total padding on both ends."""
    source, _, _, _, padding, *_ = arguments(node)
    if is_reflect_pad(source):
        left, right = arguments(source)[1]
        if left == right and not any(spread(padding, 1)):
            return source_of(source), True, 2 * left
    return source, False, 2 * spread(padding, 1)[0]


def with_ends(graph: Graph, planes: Node, reach: int) -> Node:
    """(N, B, 1, M) -> (N, B, 1, M + 2): a block before and one behind that hold the reflected values next to the sequence."""
    last = shape(planes)[3] - 1
    before, behind = reflections(reach)
    ends = []
    for place, matrix in ((0, before), (last, behind)):
        block = graph.call(aten.slice.Tensor, planes, 3, place, place + 1)
        ends.append(graph.call(aten.conv2d.default, block, graph.constant(matrix[..., None, None])))
    return graph.call(aten.cat.default, [ends[0], planes, ends[1]], 3)


def reflections(reach: int) -> tuple[Tensor, Tensor]:
    """(B, B) matrices that turn the first block into the one before it, and the last into the one behind it."""
    before = torch.zeros(BLOCK, BLOCK, dtype=torch.float64)
    for distance in range(1, min(reach, BLOCK - 1) + 1):
        before[BLOCK - distance, distance] = 1
    return before, before.flip(0, 1)


def toeplitz(taps: Tensor) -> Tensor:
    """(k,) -> (B, B, 1, 3): output o of a block is the sum of taps[i] * input at o + i - k // 2, counted over three blocks."""
    kernel = torch.zeros(BLOCK, BLOCK, 1, 3, dtype=taps.dtype)
    for o in range(BLOCK):
        for i, tap in enumerate(taps):
            place = BLOCK + o + i - len(taps) // 2
            kernel[o, place % BLOCK, 0, place // BLOCK] = tap
    return kernel


RULE = SpatialConv()
