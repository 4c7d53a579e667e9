"""average pool that rounds its size up and counts padding -> one without padding to count; zeros are a pad of their own

What a window reaches beyond the padded image never counts. onnxruntime's int8 kernel divides by the whole window all the same
where padding counts, and by what is inside where it does not.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch.fx import Node

from onenet.lowering.graph import Graph, arguments, shape, spread
from onenet.lowering.operators import aten
from onenet.lowering.rule import Rule


class UncountedPadding(Rule[Node]):
    """Padding that counts becomes zeros of the image."""

    steps = (12,)

    def matches(self, graph: Graph) -> Iterator[Node]:
        for node in graph.calls(aten.avg_pool2d.default):
            _, _, _, _, ceil_mode, counts, _ = arguments(node)
            if ceil_mode and counts:
                yield node

    def check(self, graph: Graph, place: Node) -> str | None:
        source, kernel, stride, padding, *_ = arguments(place)
        sizes, kernel, padding = shape(source)[-2:], spread(kernel, 2), spread(padding, 2)
        strides = spread(stride, 2) if stride else kernel
        padded = [size + 2 * pad for size, pad in zip(sizes, padding, strict=True)]
        if pooled(padded, kernel, strides) != list(shape(place)[-2:]):
            return "a window would lie in the padding alone"
        return None

    def rewrite(self, graph: Graph, place: Node) -> None:
        source, kernel, stride, padding, *_ = arguments(place)
        top, left = spread(padding, 2)
        with graph.before(place):
            if top or left:
                source = graph.call(aten.constant_pad_nd.default, source, [left, left, top, top])
            graph.replace(place, graph.call(aten.avg_pool2d.default, source, kernel, stride, [0, 0], True, False))


def pooled(sizes: list[int], kernel: list[int], strides: list[int]) -> list[int]:
    """Places of windows that all begin inside, the last of which may reach beyond the end."""
    counts = []
    for size, window, stride in zip(sizes, kernel, strides, strict=True):
        count = -(-(size - window) // stride) + 1
        counts.append(count - 1 if (count - 1) * stride >= size else count)
    return counts


RULE = UncountedPadding()
