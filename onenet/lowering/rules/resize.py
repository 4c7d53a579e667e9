"""resizing that runtimes count otherwise -> rows and columns picked, or products with constant weights

Nearest by a fraction, a factor that is not the ratio of the sizes, bicubic, antialiased: converters take other places, or
have no operator. Every resizing is a matrix for rows and one for columns; the operator itself, run on an identity, gives them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.fx import Node

from onenet.lowering.graph import Graph, arguments, shape, target_of
from onenet.lowering.operators import Operator, aten
from onenet.lowering.rule import Rule

NEAREST = (aten.upsample_nearest2d.vec, aten._upsample_nearest_exact2d.vec)
BILINEAR = (aten.upsample_bilinear2d.vec, aten._upsample_bilinear2d_aa.vec)
RESIZINGS = (*NEAREST, *BILINEAR, aten.upsample_bicubic2d.vec, aten._upsample_bicubic2d_aa.vec)


class Resizing(NamedTuple):
    """A resizing operator, and what it does to each axis."""

    node: Node
    rows: Tensor
    """(H', H)."""
    columns: Tensor
    """(W', W)."""

    @property
    def weights(self) -> tuple[Tensor, Tensor]:
        return self.rows, self.columns


class Resize(Rule[Resizing]):
    """Resizing becomes what every runtime does alike."""

    def matches(self, graph: Graph) -> Iterator[Resizing]:
        for node in graph.calls(*RESIZINGS):
            place = Resizing(node, weights_of(node, 2), weights_of(node, 3))
            if node.target is not plain_operator(node) or not is_plain(place):
                yield place

    def rewrite(self, graph: Graph, place: Resizing) -> None:
        node, source = place.node, arguments(place.node)[0]
        plain = plain_operator(node)
        with graph.before(node):
            if plain is not None and is_plain(place):
                corners = arguments(node)[2:3] if node.target in BILINEAR else []
                new = graph.call(plain, source, list(shape(node)[2:]), *corners, None)
            else:
                new = picked(graph, source, place) if node.target in NEAREST else mixed(graph, source, place)
            graph.replace(node, new)


def picked(graph: Graph, source: Node, place: Resizing) -> Node:
    """Rows, then columns, by their numbers."""
    for axis, weights in enumerate(place.weights, start=2):
        if not is_identity(weights):
            source = graph.call(aten.index_select.default, source, axis, graph.constant(weights.argmax(1).int()))
    return source


def mixed(graph: Graph, source: Node, place: Resizing) -> Node:
    """Weighted sums along rows, then along columns."""
    kind = source.meta["val"].dtype
    if not is_identity(place.columns):
        source = graph.call(aten.matmul.default, source, graph.constant(place.columns.T.to(kind)))
    if not is_identity(place.rows):
        source = graph.call(aten.matmul.default, graph.constant(place.rows.to(kind)), source)
    return source


def weights_of(node: Node, axis: int) -> Tensor:
    """How much of each place along an axis (2 or 3) goes into each result: (after, before), in float64."""
    _, size, *options, factors = arguments(node)
    before, place = shape(arguments(node)[0])[axis], axis - 2
    sizes = None if size is None else [1, size[place]]
    scales = None if factors is None else [1.0, factors[place]]
    identity = torch.eye(before, dtype=torch.float64).reshape(1, before, 1, before)
    result: Tensor = target_of(node)(identity, sizes, *options, scales)
    return result.reshape(before, -1).T


def plain_operator(node: Node) -> Operator | None:
    """The operator that converters have for a kind of resizing; None where they have none."""
    if node.target in NEAREST:
        return aten.upsample_nearest2d.vec
    return aten.upsample_bilinear2d.vec if node.target in BILINEAR else None


def is_plain(place: Resizing) -> bool:
    """Whether converters get it right: nearest by whole factors, bilinear by the ratio of the sizes."""
    if place.node.target in NEAREST:
        return all(torch.equal(each, repeated(each)) for each in place.weights)
    if place.node.target not in BILINEAR:
        return False
    corners = arguments(place.node)[2]
    return all(torch.allclose(each, interpolated(each, corners), atol=1e-12) for each in place.weights)


def repeated(weights: Tensor) -> Tensor:
    """Each place several times; an empty matrix where the sizes are no multiples."""
    after, before = weights.shape
    return torch.eye(before, dtype=weights.dtype).repeat_interleave(after // before, 0)


def interpolated(weights: Tensor, align_corners: bool) -> Tensor:
    """Bilinear weights between the same sizes, with the ratio of the sizes as factor."""
    after, before = weights.shape
    identity = torch.eye(before, dtype=weights.dtype).reshape(1, before, 1, before)
    result: Tensor = aten.upsample_bilinear2d.vec(identity, [1, after], align_corners, None)
    return result.reshape(before, -1).T


def is_identity(weights: Tensor) -> bool:
    """Whether an axis stays as it is."""
    return torch.equal(weights, torch.eye(*weights.shape, dtype=weights.dtype))


RULE = Resize()
