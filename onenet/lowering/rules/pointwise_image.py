"""pointwise operations on planes (N, C, H*W), then reshape to (N, C, H, W) -> reshape first, 2D operations on the image

Carries the reshape upwards through Conv1d(1x1), ReLU and channel affines, so that it meets the flattening and cancels.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch.fx import Node

from onenet.lowering.graph import Graph, arguments, channel_affine, shape, source_of, spread, target_of
from onenet.lowering.operators import RESHAPES, aten
from onenet.lowering.rule import Rule


class PointwiseImage(Rule[Node]):
    """Pointwise operators on planes become operators on images."""

    steps = (70,)

    def matches(self, graph: Graph) -> Iterator[Node]:
        """Reshapes behind a pointwise operation, the last one first. One that moved up is a match again."""
        seen: set[Node] = set()
        while (node := last_match(graph, seen)) is not None:
            seen.add(node)
            yield node

    def check(self, graph: Graph, place: Node) -> str | None:
        source = source_of(place)
        if len(source.users) > 1:
            return "the planes are used in another shape as well"
        if source.target is aten.conv1d.default and graph.value(source.args[1]) is None:
            return "the convolution's weight is computed"
        return None

    def rewrite(self, graph: Graph, place: Node) -> None:
        """reshape(op(x)) -> op(reshape(x))."""
        source = source_of(place)
        planes = source_of(source)
        n, _, height, width = shape(place)
        with graph.before(place):
            image = graph.call(aten.reshape.default, planes, [n, shape(planes)[1], height, width])
            if source.target is aten.conv1d.default:
                _, weight, bias, *_ = arguments(source)
                kernel = graph.constant(graph.constant_value(weight)[..., None])
                result = graph.call(aten.conv2d.default, image, kernel, bias)
            else:
                result = graph.call(target_of(source), image, *source.args[1:])
        graph.replace(place, result)


def last_match(graph: Graph, seen: set[Node]) -> Node | None:
    """The last reshape in the graph that could move up and is not in ``seen``."""
    reshapes = reversed(list(graph.calls(*RESHAPES)))
    return next((node for node in reshapes if node not in seen and is_recover(node) and is_pointwise(source_of(node))), None)


def is_recover(node: Node) -> bool:
    """(N, C, L) -> (N, C, H, W)."""
    before, after = shape(source_of(node)), shape(node)
    return len(before) == 3 and len(after) == 4 and before[:2] == after[:2]


def is_pointwise(node: Node) -> bool:
    """Whether it treats every place of the planes alike and alone."""
    if node.target is not aten.conv1d.default:
        return node.target in (aten.relu.default, channel_affine)
    _, weight, _, stride, padding, _, groups = arguments(node)
    return bool(shape(weight)[2] == 1 and spread(stride, 1) == [1] and spread(padding, 1) == [0] and groups == 1)


RULE = PointwiseImage()
