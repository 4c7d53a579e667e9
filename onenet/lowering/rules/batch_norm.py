"""BatchNorm in evaluation mode -> affine per channel: scale = gamma / sqrt(var + eps), shift = beta - mean * scale

The affine is an intermediate form; the next rules fold it away.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.fx import Node

from onenet.lowering.graph import Graph, arguments, channel_affine
from onenet.lowering.operators import aten
from onenet.lowering.rule import Rule


class BatchNorm(Rule[Node]):
    """BatchNorm with stored statistics becomes an affine per channel."""

    steps = (50,)

    def matches(self, graph: Graph) -> Iterator[Node]:
        return graph.calls(aten.batch_norm.default)

    def check(self, graph: Graph, place: Node) -> str | None:
        _, _, _, mean, variance, training, *_ = arguments(place)
        live = training or graph.value(mean) is None or graph.value(variance) is None
        return "normalises with the statistics of the batch" if live else None

    def rewrite(self, graph: Graph, place: Node) -> None:
        source, gamma, beta, mean, variance, _, _, eps, _ = arguments(place)
        scale = torch.rsqrt(graph.constant_value(variance) + eps)
        scale = scale if graph.value(gamma) is None else scale * graph.constant_value(gamma)
        shift = -graph.constant_value(mean) * scale
        shift = shift if graph.value(beta) is None else graph.constant_value(beta) - graph.constant_value(mean) * scale
        with graph.before(place):
            graph.replace(place, graph.call(channel_affine, source, graph.constant(scale), graph.constant(shift)))


RULE = BatchNorm()
