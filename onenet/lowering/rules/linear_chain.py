"""convolutions and shuffles with no activation between -> one convolution; the chain itself only along the image's border

OneNet's e4 decoder ends so: transposed convolution, three 3x3 convolutions, no ReLU (the published code). The one convolution
is the chain's response to an impulse. It differs from the chain where a convolution pads what an earlier one made: zeros there,
not what the earlier one would make of the zeros around its own input. That frame, some pixels wide, is computed as before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor
from torch.fx import Node
from torch.nn import functional as F

from onenet.lowering.graph import Graph, arguments, shape, source_of, spread, target_of
from onenet.lowering.operators import aten
from onenet.lowering.rule import Rule

WORTH = 0.75
"""Share of the chain's multiplications, frame included, above which it stays: the frame is thin, and more operators."""


@dataclass(frozen=True)
class Part:
    """A run of a chain and what one convolution in its place would take. Pixels are those of its input; (height, width)."""

    nodes: list[Node]
    reach: tuple[int, int]
    """How far an output pixel looks in each direction."""
    frame: tuple[int, int]
    """How far from the border the padding between the convolutions shows."""
    factor: int
    """Output pixels per input pixel, in each direction."""
    before: float
    """Multiplications of the chain."""
    after: float
    """Multiplications of the one convolution and of the chain along the border; infinite where nothing lies between."""


class LinearChain(Rule[Part]):
    """Convolutions without an activation between become one."""

    steps = (150,)

    def matches(self, graph: Graph) -> Iterator[Part]:
        """The part of every chain that saves most."""
        for chain in list(chains(graph)):
            parts = [measured(chain[i:j]) for i in range(len(chain)) for j in range(i + 2, len(chain) + 1)]
            yield max(parts, key=lambda part: part.before - part.after)

    def check(self, graph: Graph, place: Part) -> str | None:
        return "one convolution would not multiply less" if place.after > WORTH * place.before else None

    def rewrite(self, graph: Graph, place: Part) -> None:
        end, source = place.nodes[-1], source_of(place.nodes[0])
        weight, bias = impulse_response(graph, place)
        with graph.before(end):
            padding = [r - f for r, f in zip(place.reach, place.frame, strict=True)]
            constants = [graph.constant(weight), graph.constant(bias)]
            result = graph.call(aten.conv2d.default, source, *constants, [1, 1], padding)
            if place.factor > 1:
                result = graph.call(aten.pixel_shuffle.default, result, place.factor)
            for axis in (1, 0):  # first left and right of the inside, then the whole rows above and below
                if place.frame[axis]:
                    result = framed(graph, place, axis, source, result)
            graph.replace(end, result)


def chains(graph: Graph) -> Iterator[list[Node]]:
    """The longest runs of linear nodes, at least two convolutions each."""
    for node in graph.calls(aten.conv2d.default, aten.pixel_shuffle.default):
        if not is_linear(graph, node) or continues(graph, node):
            continue
        chain = [node]
        while is_linear(graph, source := source_of(chain[0])) and continues(graph, source):
            chain.insert(0, source)
        if sum(each.target is aten.conv2d.default for each in chain) > 1:
            yield chain


def is_linear(graph: Graph, node: Node) -> bool:
    """A pixel shuffle, or a convolution with odd kernel and constant weights whose output is as large as its input."""
    if node.target is aten.pixel_shuffle.default:
        return len(shape(node)) == 4
    if node.target is not aten.conv2d.default or len(shape(node)) != 4:
        return False
    _, weight, bias, stride, padding, dilation, _ = arguments(node)
    if graph.value(weight) is None or (bias is not None and graph.value(bias) is None):
        return False
    kernel = shape(weight)[2:]
    as_large = all(size % 2 for size in kernel) and spread(padding, 2) == [size // 2 for size in kernel]
    return as_large and spread(stride, 2) == spread(dilation, 2) == [1, 1]


def continues(graph: Graph, node: Node) -> bool:
    """Whether the node's only reader is linear too."""
    readers = list(node.users)
    return len(readers) == 1 and is_linear(graph, readers[0])


def measured(nodes: list[Node]) -> Part:
    """What one convolution in place of these nodes would take."""
    reach, frame = [Fraction(0), Fraction(0)], [Fraction(0), Fraction(0)]
    factor, before, shows = 1, 0, False
    for node in nodes:
        if node.target is aten.pixel_shuffle.default:
            factor *= arguments(node)[1]
            continue
        _, weight, bias, *_ = arguments(node)
        for axis in (0, 1):
            step = Fraction(shape(weight)[2 + axis] // 2, factor)
            reach[axis] += step
            frame[axis] += step if shows else 0
        shows |= math.prod(shape(weight)[2:]) > 1 or bias is not None
        before += math.prod(shape(weight)) * math.prod(shape(node)[2:])
    (rh, rw), (fh, fw) = map(math.ceil, reach), map(math.ceil, frame)
    _, channels, h, w = shape(source_of(nodes[0]))
    border = sum(2 * (r + f) / size for r, f, size in ((rh, fh, h), (rw, fw, w)) if f)
    one = (2 * rh + 1) * (2 * rw + 1) * channels * shape(nodes[-1])[1] * factor**2 * (h - 2 * fh) * (w - 2 * fw)
    return Part(nodes, (rh, rw), (fh, fw), factor, before, one + border * before if border < 1 else math.inf)


def framed(graph: Graph, part: Part, axis: int, source: Node, inside: Node) -> Node:
    """``inside`` between the two ends of an axis, both from the chain on one band of the image's two borders."""
    size, border = shape(source)[2 + axis], part.reach[axis] + part.frame[axis]
    ends = [cut(graph, source, axis, 0, border), cut(graph, source, axis, size - border, size)]
    band = graph.call(aten.cat.default, ends, 2 + axis)
    for node in part.nodes:
        band = graph.call(target_of(node), band, *node.args[1:])
    if axis == 1 and part.frame[0]:
        rows = part.frame[0] * part.factor
        band = cut(graph, band, 0, rows, shape(band)[2] - rows)
    known, length = part.frame[axis] * part.factor, shape(band)[2 + axis]
    first, last = cut(graph, band, axis, 0, known), cut(graph, band, axis, length - known, length)
    return graph.call(aten.cat.default, [first, inside, last], 2 + axis)


def cut(graph: Graph, node: Node, axis: int, start: int, end: int) -> Node:
    """Rows (axis 0) or columns (axis 1) from ``start`` to ``end``."""
    return graph.call(aten.slice.Tensor, node, 2 + axis, start, end)


def impulse_response(graph: Graph, part: Part) -> tuple[Tensor, Tensor]:
    """Weight (C_out * factor**2, C_in, 2 * reach + 1, ...) and bias of the convolution that does what the chain does inside."""
    (rh, rw), (fh, fw) = part.reach, part.frame
    channels = shape(source_of(part.nodes[0]))[1]
    size = (2 * (rh + fh) + 1, 2 * (rw + fw) + 1)
    images = torch.zeros(channels + 1, channels, *size, dtype=torch.float64)  # the last stays dark
    images[range(channels), range(channels), rh + fh, rw + fw] = 1
    for node in part.nodes:
        images = target_of(node)(images, *[constant(graph, each) for each in node.args[1:]])
    response = F.pixel_unshuffle(images, part.factor)[:, :, fh : fh + 2 * rh + 1, fw : fw + 2 * rw + 1]
    dark = response[-1:]
    return (response[:-1] - dark).flip(2, 3).transpose(0, 1), dark[0, :, rh, rw]


def constant(graph: Graph, argument: object) -> object:
    """A tensor for a node that holds one, any other argument as it is."""
    value = graph.value(argument)
    return argument if value is None else value


RULE = LinearChain()
