"""pixel unshuffle(r) -> Conv2d 1x1 -> Conv2d r x r with stride r

The unshuffled channel c*r*r + i*r + j is pixel (i, j) of channel c, which is how an r x r kernel lists its weights. The
unshuffle itself, a rank-6 transpose in most runtimes, disappears.
"""

from __future__ import annotations

from torch.fx import Node

from onenet.lowering.graph import Graph, arguments, aten, shape, spread, users
from onenet.lowering.rule import Report


def rewrite(graph: Graph, report: Report) -> None:
    for node in graph.calls(aten.pixel_unshuffle.default):
        for user in users(node):
            reason = decline(graph, user)
            if reason:
                report.decline(reason)
                continue
            merge(graph, node, user)
            report.apply()
        graph.erase(node)


def decline(graph: Graph, user: Node) -> str | None:
    if user.target is not aten.conv2d.default:
        name = getattr(user.target, "__name__", str(user.target)).split(".")[0]
        return f"followed by {name}, not by a convolution"
    _, weight, _, stride, padding, _, groups = arguments(user)
    if shape(weight)[2:] != (1, 1) or spread(stride, 2) != [1, 1] or any(spread(padding, 2)) or groups != 1:
        return "followed by a convolution other than 1x1"
    return None if graph.value(weight) is not None else "followed by a convolution whose weight is computed"


def merge(graph: Graph, unshuffle: Node, conv: Node) -> None:
    source, factor = arguments(unshuffle)
    weight = graph.value(conv.args[1])
    assert weight is not None
    with graph.before(conv):
        kernel = graph.constant(weight.reshape(weight.shape[0], -1, factor, factor))
        stride = [factor, factor]
        graph.replace(conv, graph.call(aten.conv2d.default, source, kernel, arguments(conv)[2], stride))
