"""ConvTranspose2d -> Conv2d to s*s*C channels, pixel shuffle, slice

Each of the s*s places of an output pixel under the stride s has weights of its own, and reads the same few inputs. Exact; and
quantizable, where converters leave transposed convolutions in float. A kernel that is no multiple of the stride gets zeros.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor
from torch.fx import Node

from onenet.lowering.graph import Graph, arguments, shape, spread
from onenet.lowering.operators import TRANSPOSED_CONVOLUTION, aten
from onenet.lowering.rule import Rule

MOST_WORK = 2.0
"""Multiplications for one of the transposed convolution's: 1 for a kernel that is a multiple of the stride, 1.8 for 3 under 2.
"""


@dataclass(frozen=True)
class Axis:
    """Along one axis: which inputs the new convolution reads for the outputs ``stride * m - skipped`` and those behind it."""

    stride: int
    taps: dict[tuple[int, int], int]
    """(Place under the stride, index in the old kernel) -> input, counted from ``m``."""
    skipped: int
    """Outputs in front of the first that is asked for."""
    inputs: int
    outputs: int

    @property
    def first(self) -> int:
        """The first input, counted from ``m``."""
        return min(self.taps.values())

    @property
    def size(self) -> int:
        """Of the new kernel."""
        return max(self.taps.values()) - self.first + 1

    @property
    def padding(self) -> int:
        """Of the new convolution, at both ends."""
        places = -(-(self.outputs + self.skipped) // self.stride)
        return max(-self.first, places + self.first + self.size - 1 - self.inputs, 0)

    @property
    def start(self) -> int:
        """The first output that is asked for among those of the shuffle."""
        return self.stride * (self.first + self.padding) + self.skipped


def axes_of(node: Node) -> list[Axis]:
    """Height and width of a transposed convolution, each with the smallest kernel that reads all it needs."""
    source, weight, _, stride, padding, _, _, dilation = arguments(node)
    options = zip(spread(stride, 2), spread(padding, 2), spread(dilation, 2), strict=True)
    found = []
    for axis, (step, pad, apart) in enumerate(options, start=2):
        sizes = shape(source)[axis], shape(node)[axis]
        tried = [Axis(step, taps(step, pad - skipped, apart, shape(weight)[axis]), skipped, *sizes) for skipped in range(step)]
        found.append(min(tried, key=lambda each: each.size))
    return found


def taps(stride: int, padding: int, dilation: int, kernel: int) -> dict[tuple[int, int], int]:
    """Output ``stride * m + place`` reads input ``m + tap`` through ``kernel[index]``: (place, index) -> tap."""
    reached = {(place, index): place + padding - dilation * index for place in range(stride) for index in range(kernel)}
    return {key: distance // stride for key, distance in reached.items() if distance % stride == 0}


class TransposedConv(Rule[Node]):
    """A transposed convolution becomes a convolution and a shuffle."""

    steps = (100,)

    def matches(self, graph: Graph) -> Iterator[Node]:
        return graph.calls(TRANSPOSED_CONVOLUTION)

    def check(self, graph: Graph, place: Node) -> str | None:
        _, weight, *_, groups, _ = arguments(place)
        if graph.value(weight) is None:
            return "the weight is computed"
        if groups != 1:
            return "grouped: onnxruntime's int8 kernel of a grouped convolution is slower than its float transposed one"
        rows, columns = axes_of(place)
        if rows.stride != columns.stride:
            return "another stride down than across"
        work = rows.size * columns.size * rows.stride**2 / (shape(weight)[2] * shape(weight)[3])
        return None if work <= MOST_WORK else f"a convolution would do {work:.1f} times the work"

    def rewrite(self, graph: Graph, place: Node) -> None:
        source, weight, bias, *_ = arguments(place)
        rows, columns = axes = axes_of(place)
        kernel = spread_out(graph.constant_value(weight).transpose(0, 1), rows, columns)
        offset = graph.value(bias)
        with graph.before(place):
            mixing = graph.constant(kernel)
            shift = None if offset is None else graph.constant(offset.repeat_interleave(rows.stride**2))
            planes = graph.call(aten.conv2d.default, source, mixing, shift, [1, 1], [rows.padding, columns.padding])
            new = graph.call(aten.pixel_shuffle.default, planes, rows.stride)
            for number, axis in enumerate(axes, start=2):
                if axis.start or shape(new)[number] > axis.outputs:
                    new = graph.call(aten.slice.Tensor, new, number, axis.start, axis.start + axis.outputs)
            graph.replace(place, new)


def spread_out(weight: Tensor, rows: Axis, columns: Axis) -> Tensor:
    """The convolution's kernel (C_out * s * s, C_in, h, w) of a transposed one's (C_out, C_in, h, w)."""
    stride = rows.stride
    new = weight.new_zeros((weight.shape[0], stride, stride, weight.shape[1], rows.size, columns.size))
    for (row, above), height in rows.taps.items():
        for (column, left), width in columns.taps.items():
            new[:, row, column, :, height - rows.first, width - columns.first] = weight[:, :, above, left]
    return new.flatten(0, 2)


RULE = TransposedConv()
