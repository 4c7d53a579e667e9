"""reshape (N, C, H, W) -> (N, C, H', W') -> the same on pixels, between transposes that a converter to NHWC takes away"""

from __future__ import annotations

from onenet.lowering.graph import Graph, arguments, aten, shape
from onenet.lowering.rule import Report
from onenet.lowering.rules.layout import LAYOUT
from onenet.lowering.rules.pixel_order import PIXELS, PLANES


def rewrite(graph: Graph, report: Report) -> None:
    for node in graph.calls(aten.reshape.default, aten.view.default):
        source = arguments(node)[0]
        before, after = shape(source), shape(node)
        if not len(before) == len(after) == 4 or before[:2] != after[:2] or source.target in LAYOUT:
            continue  # not of planes
        n, c, h, w = after
        with graph.before(node):
            pixels = graph.call(aten.permute.default, source, PIXELS)
            pixels = graph.call(aten.reshape.default, pixels, [n, h, w, c])
            graph.replace(node, graph.call(aten.permute.default, pixels, PLANES))
        report.apply()
