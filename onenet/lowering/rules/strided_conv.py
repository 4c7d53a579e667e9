"""pixel unshuffle(r) -> Conv2d 1x1 -> Conv2d r x r with stride r

The unshuffled channel c*r*r + i*r + j is pixel (i, j) of channel c, which is how an r x r kernel lists its weights. The
unshuffle itself, a rank-6 transpose in most runtimes, disappears.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch.fx import Node

from onenet.lowering.graph import Graph, arguments, name_of, shape, spread, users
from onenet.lowering.operators import aten
from onenet.lowering.rule import Rule


class StridedConv(Rule[Node]):
    """An unshuffle and a 1x1 convolution become one strided convolution."""

    steps = (130,)

    def matches(self, graph: Graph) -> Iterator[Node]:
        """Every reader of an unshuffle."""
        for unshuffle in graph.calls(aten.pixel_unshuffle.default):
            yield from users(unshuffle)

    def check(self, graph: Graph, place: Node) -> str | None:
        if place.target is not aten.conv2d.default:
            return f"followed by {name_of(place)}, not by a convolution"
        _, weight, _, stride, padding, _, groups = arguments(place)
        if shape(weight)[2:] != (1, 1) or spread(stride, 2) != [1, 1] or any(spread(padding, 2)) or groups != 1:
            return "followed by a convolution other than 1x1"
        return None if graph.value(weight) is not None else "followed by a convolution whose weight is computed"

    def rewrite(self, graph: Graph, place: Node) -> None:
        unshuffle, weight_node, bias, *_ = arguments(place)
        source, factor = arguments(unshuffle)
        weight = graph.constant_value(weight_node)
        with graph.before(place):
            kernel = graph.constant(weight.reshape(weight.shape[0], -1, factor, factor))
            graph.replace(place, graph.call(aten.conv2d.default, source, kernel, bias, [factor, factor]))


RULE = StridedConv()
