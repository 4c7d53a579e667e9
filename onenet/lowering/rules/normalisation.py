"""x + c, x - c, c - x, x * c, x / c with a constant number or one constant per channel -> affine per channel

OneNet's ``(x - 0.45) / 0.225`` and the mean/std constants of other networks; the affine is folded by the next rules.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.fx import Node

from onenet.lowering.graph import Graph, channel_affine, is_float, shape, source_of, target_of, type_of
from onenet.lowering.masks import is_mask
from onenet.lowering.operators import Operator, aten
from onenet.lowering.rule import Rule

ADD, SUB, MUL, DIV = aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor
FROM = aten.rsub.Scalar
"""A number minus a tensor."""


class Normalisation(Rule[Node]):
    """Arithmetic with a constant becomes an affine per channel."""

    steps = (60,)

    def matches(self, graph: Graph) -> Iterator[Node]:
        for node in graph.calls(ADD, SUB, FROM, MUL, DIV):
            source, constant = node.args[:2]
            if not isinstance(source, Node) or graph.value(source) is not None or len(shape(node)) < 3 or not is_float(node):
                continue
            if per_channel(graph, constant, shape(source)) is not None:
                yield node

    def check(self, graph: Graph, place: Node) -> str | None:
        source = source_of(place)
        if shape(place) != shape(source) or place.kwargs or len(place.args) > 2:
            return "broadcasts the input or scales the constant"
        if type_of(source) != type_of(place):
            return "makes floats of whole numbers"
        return "the constant is a mask" if is_mask(per_channel(graph, place.args[1], shape(source))) else None

    def rewrite(self, graph: Graph, place: Node) -> None:
        source = source_of(place)
        value = per_channel(graph, place.args[1], shape(source))
        assert value is not None
        scale, shift = as_affine(target_of(place), value)
        with graph.before(place):
            graph.replace(place, graph.call(channel_affine, source, graph.constant(scale), graph.constant(shift)))


def as_affine(target: Operator, value: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and shift of ``x target value``; of ``value - x`` for FROM."""
    ones, zeros = torch.ones_like(value), torch.zeros_like(value)
    affines: dict[Operator, tuple[Tensor, Tensor]] = {
        ADD: (ones, value),
        SUB: (ones, -value),
        FROM: (-ones, value),
        MUL: (value, zeros),
        DIV: (1 / value, zeros),
    }
    return affines[target]


def per_channel(graph: Graph, constant: object, like: tuple[int, ...]) -> Tensor | None:
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


RULE = Normalisation()
