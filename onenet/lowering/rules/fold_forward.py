"""affine per channel -> [unshuffle | concat] -> convolution -> the convolution with scaled weights and a new bias

ReLU -> BatchNorm leaves an affine that cannot go back through the ReLU (its shift would be cut off, and a negative scale
would turn the ReLU round), so it goes forward: into every consumer that can take it exactly. A zero-padded convolution
can take a scale, but no shift: the padding means 0 after the affine, not before. There the affine stays, on that branch only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.fx import Node

from onenet.lowering.graph import (
    Graph,
    arguments,
    channel_affine,
    name_of,
    parts_of,
    shape,
    source_of,
    spread,
    target_of,
    users,
)
from onenet.lowering.operators import CONVOLUTIONS, aten
from onenet.lowering.rule import Rule


class Reading(NamedTuple):
    """An affine and one of its users."""

    affine: Node
    user: Node


class FoldForward(Rule[Reading]):
    """An affine goes into the weights of the convolutions behind it."""

    steps = (120,)
    repeats = True  # merging two affines makes a third

    def matches(self, graph: Graph) -> Iterator[Reading]:
        for affine in graph.calls(channel_affine):
            yield from (Reading(affine, user) for user in users(affine) if not user._erased)

    def check(self, graph: Graph, place: Reading) -> str | None:
        return obstacle(graph, place.user, place.affine, bool(graph.constant_value(place.affine.args[2]).any()))

    def rewrite(self, graph: Graph, place: Reading) -> None:
        affine = place.affine
        scale, shift = graph.constant_value(affine.args[1]), graph.constant_value(affine.args[2])
        push(graph, place.user, affine, source_of(affine), scale, shift)


def obstacle(graph: Graph, user: Node, operand: Node, shifted: bool) -> str | None:
    """Why ``user`` cannot take up an affine on ``operand``; None if it can, all the way to a convolution.

    Args:
        shifted: whether the affine adds anything. What only scales commutes with padding by zeros.
    """
    if user.target is channel_affine:
        return None
    if user.target in CONVOLUTIONS:
        return convolution_obstacle(graph, user, shifted)
    if user.target is aten.pixel_unshuffle.default or is_concat_of_channels(user):
        if is_concat_of_channels(user) and sum(each is operand for each in parts_of(user)) > 1:
            return "concatenated with itself"
        return next(filter(None, (obstacle(graph, each, user, shifted) for each in users(user))), None)
    return f"followed by {name_of(user)}, which is not linear per channel"


def is_concat_of_channels(node: Node) -> bool:
    """Whether a node joins its inputs along axis 1."""
    return node.target is aten.cat.default and bool(arguments(node)[1] == 1)


def convolution_obstacle(graph: Graph, node: Node, shifted: bool) -> str | None:
    """Why a convolution cannot take up an affine on its input; None where it can."""
    source, weight, _, _, padding, _, groups = arguments(node)
    if shifted and any(spread(padding, len(shape(source)) - 2)):
        return "followed by a zero-padded convolution: exact except at the border"
    if groups != 1:
        return "followed by a grouped convolution"
    return None if graph.value(weight) is not None else "followed by a convolution whose weight is computed"


def push(graph: Graph, user: Node, operand: Node, source: Node, scale: Tensor, shift: Tensor) -> None:
    """Rewrite ``user(scale * source + shift)``, where operand = scale * source + shift, to an equal without the affine."""
    if user.target is channel_affine:
        merge(graph, user, source, scale, shift)
    elif user.target in CONVOLUTIONS:
        fold(graph, user, source, scale, shift)
    else:
        move_past(graph, user, operand, source, scale, shift)


def merge(graph: Graph, user: Node, source: Node, scale: Tensor, shift: Tensor) -> None:
    """affine of the affine -> one affine."""
    scale_2, shift_2 = graph.constant_value(user.args[1]), graph.constant_value(user.args[2])
    with graph.before(user):
        both = [graph.constant(scale * scale_2), graph.constant(shift * scale_2 + shift_2)]
        graph.replace(user, graph.call(channel_affine, source, *both))


def fold(graph: Graph, user: Node, source: Node, scale: Tensor, shift: Tensor) -> None:
    """convolution of the affine -> convolution with scaled weights and a new bias."""
    _, weight_node, bias_node, *options = arguments(user)
    weight, bias = graph.constant_value(weight_node), graph.value(bias_node)
    size = [1, -1] + [1] * (weight.dim() - 2)
    added = (weight * shift.reshape(size)).flatten(1).sum(1)
    with graph.before(user):
        new_weight = graph.constant(weight * scale.reshape(size))
        new_bias = graph.constant(added if bias is None else bias + added)
        graph.replace(user, graph.call(target_of(user), source, new_weight, new_bias, *options))


def move_past(graph: Graph, user: Node, operand: Node, source: Node, scale: Tensor, shift: Tensor) -> None:
    """unshuffle or concat of the affine -> affine of the unshuffle or concat, and on into its users."""
    with graph.before(user):
        if user.target is aten.pixel_unshuffle.default:
            moved = graph.call(aten.pixel_unshuffle.default, source, user.args[1])
            repeat = scale_repeat(user)
            scale, shift = scale.repeat_interleave(repeat), shift.repeat_interleave(repeat)
        else:
            parts = parts_of(user)
            moved = graph.call(aten.cat.default, [source if each is operand else each for each in parts], 1)
            scale = torch.cat([scale if each is operand else torch.ones(shape(each)[1]).double() for each in parts])
            shift = torch.cat([shift if each is operand else torch.zeros(shape(each)[1]).double() for each in parts])
    for each in users(user):
        push(graph, each, user, moved, scale, shift)


def scale_repeat(unshuffle: Node) -> int:
    """Channels that an unshuffle makes of one."""
    return shape(unshuffle)[1] // shape(source_of(unshuffle))[1]


RULE = FoldForward()
