"""reshape (N, C, H, W) -> (N, C, H', W') -> the same on pixels, between transposes that a converter to NHWC takes away"""

from __future__ import annotations

from collections.abc import Iterator

from torch.fx import Node

from onenet.lowering.graph import Graph, shape, source_of
from onenet.lowering.operators import LAYOUT, PIXELS, PLANES, RESHAPES, aten
from onenet.lowering.rule import Rule


class PixelReshape(Rule[Node]):
    """A reshape of planes becomes one of pixels."""

    def matches(self, graph: Graph) -> Iterator[Node]:
        for node in graph.calls(*RESHAPES):
            before, after = shape(source_of(node)), shape(node)
            planes = len(before) == len(after) == 4 and before[:2] == after[:2]
            if planes and source_of(node).target not in LAYOUT:
                yield node

    def rewrite(self, graph: Graph, place: Node) -> None:
        n, c, h, w = shape(place)
        with graph.before(place):
            pixels = graph.call(aten.permute.default, source_of(place), PIXELS)
            pixels = graph.call(aten.reshape.default, pixels, [n, h, w, c])
            graph.replace(place, graph.call(aten.permute.default, pixels, PLANES))


RULE = PixelReshape()
