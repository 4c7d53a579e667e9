"""ConvTranspose2d, padding p -> the same without padding, slice from p

TFLite's TRANSPOSE_CONV knows two kinds of padding: VALID (none) and SAME (the output is the input times the stride; half of
what is too much is taken off at each end, an odd row at the last). Its converter refuses others, and writes zeros where an
output_padding asks for values.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch.fx import Node

from onenet.lowering.graph import Graph, arguments, shape, spread, target_of, users
from onenet.lowering.operators import DEQUANTIZE, QUANTIZE, RELU, TRANSPOSED_CONVOLUTION, aten
from onenet.lowering.rule import Rule


class TransposedPadding(Rule[Node]):
    """The whole result of a transposed convolution is computed, and what is asked for cut out of it."""

    def matches(self, graph: Graph) -> Iterator[Node]:
        for node in graph.calls(TRANSPOSED_CONVOLUTION):
            _, _, _, _, padding, output_padding, *_ = arguments(node)
            if any(spread(padding, 2)) and (any(spread(output_padding, 2)) or not same(node)):
                yield node

    def rewrite(self, graph: Graph, place: Node) -> None:
        source, weight, bias, stride, padding, _, groups, dilation = arguments(place)
        chain = fused(place)
        with graph.before(chain[-1]):
            new = graph.call(TRANSPOSED_CONVOLUTION, source, weight, bias, stride, [0, 0], [0, 0], groups, dilation)
            for each in chain[1:]:
                new = graph.call(target_of(each), new, *each.args[1:])
            if chain[-1].target is QUANTIZE:
                new = graph.call(DEQUANTIZE, new, *chain[-1].args[1:])
            for axis, start in enumerate(spread(padding, 2), start=2):
                if start or shape(new)[axis] > shape(place)[axis]:
                    new = graph.call(aten.slice.Tensor, new, axis, start, start + shape(place)[axis])
            if chain[-1].target is QUANTIZE:
                new = graph.call(QUANTIZE, new, *chain[-1].args[1:])
            graph.replace(chain[-1], new)


def same(node: Node) -> bool:
    """Whether TFLite calls the padding SAME."""
    _, weight, _, stride, padding, *_ = arguments(node)
    much = [max(size - step, 0) for size, step in zip(shape(weight)[2:], spread(stride, 2), strict=True)]
    return all(2 * p == each for p, each in zip(spread(padding, 2), much, strict=True))


def fused(node: Node) -> list[Node]:
    """The convolution, and the ReLU and the quantize operator that its kernel computes with it."""
    chain = [node]
    while len(chain[-1].users) == 1 and (following := users(chain[-1])[0]).target in (*RELU, QUANTIZE):
        chain.append(following)
        if following.target is QUANTIZE:
            break
    return chain


RULE = TransposedPadding()
