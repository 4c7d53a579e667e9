"""BatchNorm in evaluation mode -> affine per channel: scale = gamma / sqrt(var + eps), shift = beta - mean * scale

The affine is an intermediate form; the next rules fold it away.
"""

from __future__ import annotations

import torch

from onenet.lowering.graph import Graph, arguments, aten, channel_affine
from onenet.lowering.rule import Report


def rewrite(graph: Graph, report: Report) -> None:
    for node in graph.calls(aten.batch_norm.default):
        source, *rest, training, _, eps, _ = arguments(node)
        gamma, beta, mean, variance = (graph.value(each) for each in rest)
        if training or mean is None or variance is None:
            report.decline("normalises with the statistics of the batch")
            continue
        scale = torch.rsqrt(variance + eps)
        scale = scale if gamma is None else scale * gamma
        shift = -mean * scale if beta is None else beta - mean * scale
        with graph.before(node):
            graph.replace(node, graph.call(channel_affine, source, graph.constant(scale), graph.constant(shift)))
        report.apply()
