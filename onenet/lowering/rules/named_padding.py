"""convolution with padding "same" or "valid" -> with numbers; the uneven pixel of an even kernel is a pad of its own"""

from __future__ import annotations

from onenet.lowering.graph import Graph, arguments, aten, shape, spread
from onenet.lowering.rule import Report

NUMBERS = {aten.conv1d.padding: aten.conv1d.default, aten.conv2d.padding: aten.conv2d.default}


def rewrite(graph: Graph, report: Report) -> None:
    for node in graph.calls(*NUMBERS):
        source, weight, bias, stride, name, dilation, groups = arguments(node)
        kernel = shape(weight)[2:]
        reach = [d * (k - 1) for d, k in zip(spread(dilation, len(kernel)), kernel, strict=True)]
        total = reach if name == "same" else [0] * len(kernel)
        with graph.before(node):
            uneven = [side for each in reversed(total) for side in (0, each % 2)]  # the last axis first, as pads are written
            if any(uneven):
                source = graph.call(aten.constant_pad_nd.default, source, uneven)
            even = [each // 2 for each in total]
            graph.replace(node, graph.call(NUMBERS[node.target], source, weight, bias, stride, even, dilation, groups))  # type: ignore[index]
        report.apply()
