"""affine per channel -> [unshuffle | concat] -> unpadded convolution -> the convolution with scaled weights and a new bias

ReLU -> BatchNorm leaves an affine that cannot go back through the ReLU (its shift would be cut off, and a negative scale
would turn the ReLU round), so it goes forward: into every consumer that can take it exactly. A zero-padded convolution
cannot: the padding means 0 after the affine, not before. There the affine stays, on that branch only.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fx import Node

from onenet.lowering.graph import Graph, arguments, aten, channel_affine, shape, spread, users
from onenet.lowering.rule import Report

CONVOLUTIONS = (aten.conv1d.default, aten.conv2d.default)


def rewrite(graph: Graph, report: Report) -> None:
    while sum(push_where_possible(graph, node, report) for node in graph.calls(channel_affine)):
        pass  # merging two affines makes a third
    for node in graph.calls(channel_affine):
        for user in users(node):
            report.decline(decline(graph, user, node) or "")


def push_where_possible(graph: Graph, node: Node, report: Report) -> bool:
    """Take the affine into each user that can take it exactly; True if there was one."""
    source, scale, shift = node.args[0], graph.value(node.args[1]), graph.value(node.args[2])
    assert isinstance(source, Node) and scale is not None and shift is not None
    able = [user for user in users(node) if decline(graph, user, node) is None]
    for user in able:
        push(graph, user, node, source, scale, shift)
        report.apply()
    graph.erase(node)
    return bool(able)


def decline(graph: Graph, user: Node, operand: Node) -> str | None:
    """Why ``user`` cannot take up an affine on ``operand``; None if it can, all the way to a convolution."""
    if user.target is channel_affine:
        return None
    if user.target in CONVOLUTIONS:
        return decline_convolution(graph, user)
    if user.target is aten.pixel_unshuffle.default or (user.target is aten.cat.default and arguments(user)[1] == 1):
        if user.target is aten.cat.default and sum(each is operand for each in user.args[0]) > 1:  # type: ignore[union-attr]
            return "concatenated with itself"
        return next(filter(None, (decline(graph, each, user) for each in users(user))), None)
    name = getattr(user.target, "__name__", str(user.target)).split(".")[0]
    return f"followed by {name}, which is not linear per channel"


def decline_convolution(graph: Graph, node: Node) -> str | None:
    source, weight, _, _, padding, _, groups = arguments(node)
    if any(spread(padding, len(shape(source)) - 2)):
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
    scale_2, shift_2 = graph.value(user.args[1]), graph.value(user.args[2])
    assert scale_2 is not None and shift_2 is not None
    with graph.before(user):
        both = [graph.constant(scale * scale_2), graph.constant(shift * scale_2 + shift_2)]
        graph.replace(user, graph.call(channel_affine, source, *both))


def fold(graph: Graph, user: Node, source: Node, scale: Tensor, shift: Tensor) -> None:
    _, weight_node, bias_node, *options = arguments(user)
    weight, bias = graph.value(weight_node), graph.value(bias_node)
    assert weight is not None
    size = [1, -1] + [1] * (weight.dim() - 2)
    added = (weight * shift.reshape(size)).flatten(1).sum(1)
    with graph.before(user):
        new_weight = graph.constant(weight * scale.reshape(size))
        new_bias = graph.constant(added if bias is None else bias + added)
        graph.replace(user, graph.call(user.target, source, new_weight, new_bias, *options))  # type: ignore[arg-type]


def move_past(graph: Graph, user: Node, operand: Node, source: Node, scale: Tensor, shift: Tensor) -> None:
    """unshuffle or concat of the affine -> affine of the unshuffle or concat, and on into its users."""
    with graph.before(user):
        if user.target is aten.pixel_unshuffle.default:
            moved = graph.call(user.target, source, user.args[1])
            repeat = scale_repeat(user)
            scale, shift = scale.repeat_interleave(repeat), shift.repeat_interleave(repeat)
        else:
            parts: list[Node] = list(user.args[0])  # type: ignore[arg-type]  # cat takes a list of nodes
            moved = graph.call(aten.cat.default, [source if each is operand else each for each in parts], 1)
            scale = torch.cat([scale if each is operand else torch.ones(shape(each)[1]).double() for each in parts])
            shift = torch.cat([shift if each is operand else torch.zeros(shape(each)[1]).double() for each in parts])
    for each in users(user):
        push(graph, each, user, moved, scale, shift)
    graph.erase(user)


def scale_repeat(unshuffle: Node) -> int:
    return shape(unshuffle)[1] // shape(unshuffle.all_input_nodes[0])[1]
