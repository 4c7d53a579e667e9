"""convolution or linear -> affine per channel -> the same layer with scaled weights and a new bias"""

from __future__ import annotations

import torch
from torch.fx import Node

from onenet.lowering.graph import Graph, arguments, aten, channel_affine, shape
from onenet.lowering.rule import Report

CONVOLUTIONS = (aten.conv1d.default, aten.conv2d.default)


def rewrite(graph: Graph, report: Report) -> None:
    for node in graph.calls(channel_affine):
        layer = node.args[0]
        if not isinstance(layer, Node) or layer.target not in (*CONVOLUTIONS, aten.conv_transpose2d.input):
            continue
        reason = decline(graph, layer)
        if reason:
            report.decline(reason)
            continue
        fold(graph, layer, node)
        report.apply()


def decline(graph: Graph, layer: Node) -> str | None:
    if len(layer.users) > 1:
        return "the convolution's result is used without the affine as well"
    if layer.target is aten.conv_transpose2d.input and arguments(layer)[6] != 1:
        return "a grouped transposed convolution"
    return None if graph.value(layer.args[1]) is not None else "the convolution's weight is computed"


def fold(graph: Graph, layer: Node, affine: Node) -> None:
    source, weight_node, bias_node, *options = arguments(layer)
    weight, bias = graph.value(weight_node), graph.value(bias_node)
    scale, shift = graph.value(affine.args[1]), graph.value(affine.args[2])
    assert weight is not None and scale is not None and shift is not None
    axis = 1 if layer.target is aten.conv_transpose2d.input else 0
    size = [1] * weight.dim()
    size[axis] = -1
    old_bias = torch.zeros(shape(layer)[1], dtype=weight.dtype) if bias is None else bias
    with graph.before(affine):
        new_weight = graph.constant(weight * scale.reshape(size))
        new_bias = graph.constant(old_bias * scale + shift)
        graph.replace(affine, graph.call(layer.target, source, new_weight, new_bias, *options))  # type: ignore[arg-type]
