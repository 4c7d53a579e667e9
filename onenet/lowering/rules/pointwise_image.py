"""pointwise operations on planes (N, C, H*W), then reshape to (N, C, H, W) -> reshape first, 2D operations on the image

Carries the reshape upwards through Conv1d(1x1), ReLU and channel affines, so that it meets the flattening and cancels.
"""

from __future__ import annotations

from torch.fx import Node

from onenet.lowering.graph import Graph, arguments, aten, channel_affine, shape, spread
from onenet.lowering.rule import Report

RESHAPES = (aten.reshape.default, aten.view.default)


def rewrite(graph: Graph, report: Report) -> None:
    for node in reversed(list(graph.calls(*RESHAPES))):
        while is_recover(node):
            source = node.args[0]
            assert isinstance(source, Node)
            reason = decline(graph, source)
            if reason:
                if reason != "reached the top":
                    report.decline(reason)
                break
            node = hoist(graph, node, source)
            report.apply()


def is_recover(node: Node) -> bool:
    """(N, C, L) -> (N, C, H, W)."""
    before, after = shape(node.all_input_nodes[0]), shape(node)
    return len(before) == 3 and len(after) == 4 and before[:2] == after[:2]


def decline(graph: Graph, source: Node) -> str | None:
    if source.target not in (aten.relu.default, channel_affine, aten.conv1d.default):
        return "reached the top"
    if len(source.users) > 1:
        return "the planes are used in another shape as well"
    if source.target is aten.conv1d.default:
        _, weight, _, stride, padding, _, groups = arguments(source)
        if shape(weight)[2] != 1 or spread(stride, 1) != [1] or spread(padding, 1) != [0] or groups != 1:
            return "reached the top"
        if graph.value(weight) is None:
            return "the convolution's weight is computed"
    return None


def hoist(graph: Graph, node: Node, source: Node) -> Node:
    """reshape(op(x)) -> op(reshape(x)); returns the new reshape."""
    planes = source.all_input_nodes[0]
    n, _, height, width = shape(node)
    with graph.before(node):
        image = graph.call(aten.reshape.default, planes, [n, shape(planes)[1], height, width])
        if source.target is aten.conv1d.default:
            weight = graph.value(source.args[1])
            assert weight is not None
            kernel = graph.constant(weight[..., None])
            result = graph.call(aten.conv2d.default, image, kernel, arguments(source)[2])
        else:
            result = graph.call(source.target, image, *source.args[1:])  # type: ignore[arg-type]  # a function
    graph.replace(node, result)
    return image
