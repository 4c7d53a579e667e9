"""x + c, x - c, x * c, x / c with a constant number or one constant per channel -> affine per channel

OneNet's ``(x - 0.45) / 0.225`` and the mean/std constants of other networks; the affine is folded by the next rules.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from onenet.lowering.graph import Graph, aten, channel_affine, shape
from onenet.lowering.rule import Report

ADD, SUB, MUL, DIV = aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor


def rewrite(graph: Graph, report: Report) -> None:
    for node in graph.calls(ADD, SUB, MUL, DIV):
        source, constant = node.args[:2]
        if not isinstance(source, Node) or graph.value(source) is not None or len(shape(node)) < 3:
            continue
        value = per_channel(graph, constant, shape(source))
        if value is None:
            continue
        if shape(node) != shape(source) or node.kwargs:
            report.decline("broadcasts the input or scales the constant")
            continue
        scale, shift = as_affine(node.target, value)
        with graph.before(node):
            graph.replace(node, graph.call(channel_affine, source, graph.constant(scale), graph.constant(shift)))
        report.apply()


def as_affine(target: Any, value: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and shift of ``x target value``."""
    ones, zeros = torch.ones_like(value), torch.zeros_like(value)
    return {ADD: (ones, value), SUB: (ones, -value), MUL: (value, zeros), DIV: (1 / value, zeros)}[target]


def per_channel(graph: Graph, constant: Any, like: tuple[int, ...]) -> Tensor | None:
    """A number, or a constant tensor that varies along axis 1 at most, as one value per channel."""
    if isinstance(constant, (int, float)):
        return torch.full((like[1],), float(constant), dtype=torch.float64)
    value = graph.value(constant)
    if value is None:
        return None
    if value.numel() == 1:
        return value.double().reshape(1).expand(like[1])
    axis = value.dim() - len(like) + 1  # axis 1 of the input, seen from the constant
    if axis < 0 or value.shape[axis] != like[1] or value.numel() != like[1]:
        return None
    return value.double().reshape(-1)
