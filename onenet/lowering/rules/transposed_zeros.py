"""ConvTranspose2d, dilated or with more output_padding than padding -> zeros in its kernel and behind it

What lies behind the last full window holds the bias alone: converters put zeros there, or refuse. TFLite knows no dilation.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor
from torch.fx import Node
from torch.nn.functional import pad

from onenet.lowering.graph import Graph, arguments, spread
from onenet.lowering.operators import TRANSPOSED_CONVOLUTION
from onenet.lowering.rule import Rule


class TransposedZeros(Rule[Node]):
    """A transposed convolution gets a dense kernel that reaches the end of its output."""

    def matches(self, graph: Graph) -> Iterator[Node]:
        for node in graph.calls(TRANSPOSED_CONVOLUTION):
            if any(beyond(node)) or spread(arguments(node)[7], 2) != [1, 1]:
                yield node

    def check(self, graph: Graph, place: Node) -> str | None:
        return None if graph.value(arguments(place)[1]) is not None else "the weight is computed"

    def rewrite(self, graph: Graph, place: Node) -> None:
        source, weight, bias, stride, padding, output_padding, groups, dilation = arguments(place)
        rows, columns = beyond(place)
        dense = pad(undilated(graph.constant_value(weight), spread(dilation, 2)), (0, columns, 0, rows))
        left = [o - each for o, each in zip(spread(output_padding, 2), (rows, columns), strict=True)]
        with graph.before(place):
            kernel = graph.constant(dense)
            new = graph.call(TRANSPOSED_CONVOLUTION, source, kernel, bias, stride, padding, left, groups)
            graph.replace(place, new)


def beyond(node: Node) -> list[int]:
    """Rows and columns of the output that no window reaches."""
    padding, output_padding = arguments(node)[4:6]
    return [max(o - p, 0) for o, p in zip(spread(output_padding, 2), spread(padding, 2), strict=True)]


def undilated(weight: Tensor, dilation: list[int]) -> Tensor:
    """The kernel (..., h, w) with zeros between its values."""
    reach = [d * (size - 1) + 1 for d, size in zip(dilation, weight.shape[2:], strict=True)]
    dense = weight.new_zeros((*weight.shape[:2], *reach))
    dense[:, :, :: dilation[0], :: dilation[1]] = weight
    return dense


RULE = TransposedZeros()
