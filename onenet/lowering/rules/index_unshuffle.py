"""planes (N, C, H*W) indexed patch by patch -> reshape to an image, PixelUnshuffle, and back to the order of the index

Algorithm 1 of arXiv 2411.09838 unshuffles a tensor that stays 1D by a list of H*W places. Converters would store that list and
gather single values; as an unshuffle it goes into the convolution behind it.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.fx import Node

from onenet.lowering.graph import Graph, arguments, shape
from onenet.lowering.operators import aten
from onenet.lowering.rule import Rule


class IndexUnshuffle(Rule[Node]):
    """An index of all places of a sequence becomes a pixel unshuffle."""

    steps = (5,)

    def matches(self, graph: Graph) -> Iterator[Node]:
        for node in graph.calls(aten.index.Tensor, aten.index_select.default):
            if len(shape(node)) == 3 and index_of(graph, node) is not None:
                yield node

    def check(self, graph: Graph, place: Node) -> str | None:
        index = index_of(graph, place)
        assert index is not None
        if len(index) != shape(arguments(place)[0])[2] or size_of_patches(index) is None:
            return "its order is not that of an image's patches"
        return None

    def rewrite(self, graph: Graph, place: Node) -> None:
        index = index_of(graph, place)
        assert index is not None
        found = size_of_patches(index)
        assert found is not None
        factor, width = found
        n, channels, length = shape(place)
        with graph.before(place):
            image = graph.call(aten.reshape.default, arguments(place)[0], [n, channels, length // width, width])
            fine = graph.call(aten.pixel_unshuffle.default, image, factor)
            patches = graph.call(aten.reshape.default, fine, [n, channels, factor**2, length // factor**2])
            patches = graph.call(aten.permute.default, patches, [0, 1, 3, 2])
            graph.replace(place, graph.call(aten.reshape.default, patches, [n, channels, length]))


def index_of(graph: Graph, node: Node) -> Tensor | None:
    """The constant places (L,) that a node takes along the last of three axes; None where it takes anything else."""
    indices = arguments(node)[1]
    if node.target is aten.index_select.default:
        indices = [None] * (indices % 3) + [arguments(node)[2]]
    value = graph.value(indices[-1]) if len(indices) == 3 and indices[:2] == [None, None] else None
    return value if value is not None and value.dim() == 1 and not value.is_floating_point() else None


def size_of_patches(index: Tensor) -> tuple[int, int] | None:
    """Edge of the patches and width of the image that are visited in this order; None where there are no such."""
    steps = index.diff()
    ends = (steps != 1).nonzero().flatten()
    if len(ends) == 0:
        return None
    factor = int(ends[0]) + 1
    width = int(steps[ends[0]]) + factor - 1
    rows = len(index) // width if width > 0 else 0
    if factor < 2 or rows * width != len(index) or rows % factor or width % factor:
        return None
    patches = torch.arange(len(index)).reshape(rows // factor, factor, width // factor, factor).transpose(1, 2)
    return (factor, width) if torch.equal(index.cpu().long(), patches.flatten()) else None


RULE = IndexUnshuffle()
