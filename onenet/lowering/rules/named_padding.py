"""convolution with padding "same" or "valid" -> with numbers; the uneven pixel of an even kernel is a pad of its own"""

from __future__ import annotations

from collections.abc import Iterator

from torch.fx import Node

from onenet.lowering.graph import Graph, arguments, shape, spread, target_of
from onenet.lowering.operators import WITH_NAMED_PADDING, aten
from onenet.lowering.rule import Rule


class NamedPadding(Rule[Node]):
    """Padding by name becomes padding by numbers."""

    steps = (10,)

    def matches(self, graph: Graph) -> Iterator[Node]:
        return graph.calls(*WITH_NAMED_PADDING)

    def rewrite(self, graph: Graph, place: Node) -> None:
        source, weight, bias, stride, name, dilation, groups = arguments(place)
        kernel = shape(weight)[2:]
        reach = [d * (k - 1) for d, k in zip(spread(dilation, len(kernel)), kernel, strict=True)]
        total = reach if name == "same" else [0] * len(kernel)
        convolution = WITH_NAMED_PADDING[target_of(place)]
        with graph.before(place):
            uneven = [side for each in reversed(total) for side in (0, each % 2)]  # the last axis first, as pads are written
            if any(uneven):
                source = graph.call(aten.constant_pad_nd.default, source, uneven)
            even = [each // 2 for each in total]
            graph.replace(place, graph.call(convolution, source, weight, bias, stride, even, dilation, groups))


RULE = NamedPadding()
