"""dequantize, move -> dequantize, move, quantize, dequantize with the same scale: int8 is moved

Calibration knows the commonest operators that move or pick values. The others would leave int8 although they compute nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor
from torch.fx import Node

from onenet.lowering.graph import Graph, arguments, users
from onenet.lowering.operators import CARRIERS, DEQUANTIZE, PADS_WITH_VALUE, PARTS, QUANTIZE
from onenet.lowering.rule import Rule


class MovedInt8(Rule[Node]):
    """What moves int8 values gives int8 values."""

    def matches(self, graph: Graph) -> Iterator[Node]:
        for node in graph.calls(*CARRIERS):
            scale = scale_of(node)
            if scale and is_float(node) and any((user.target, user.args[1:]) != (QUANTIZE, scale) for user in node.users):
                yield node

    def rewrite(self, graph: Graph, place: Node) -> None:
        scale = scale_of(place)
        assert scale is not None
        readers = users(place)
        with graph.before(place.next):
            stored = graph.call(QUANTIZE, place, *scale)
            for reader in readers:  # each its own, as calibration leaves them
                reader.replace_input_with(place, graph.call(DEQUANTIZE, stored, *scale))


def scale_of(node: Node) -> tuple[object, ...] | None:
    """Scale, zero point, range and type of all that a node's values come from; None where they differ or have none."""
    if node.target is DEQUANTIZE:
        return node.args[1:]
    if node.target not in (*CARRIERS, *PARTS) or pads_with_a_value(node):
        return None
    scales = {scale_of(each) for each in node.all_input_nodes if is_float(each)}
    return scales.pop() if len(scales) == 1 else None


def is_float(node: Node) -> bool:
    """Whether a node gives floats; the first of several tensors counts."""
    value = node.meta["val"]
    first = value if isinstance(value, Tensor) else value[0]
    return bool(first.is_floating_point())


def pads_with_a_value(node: Node) -> bool:
    """Whether a pad adds a number that the scale may not have: any but zero."""
    return node.target in PADS_WITH_VALUE and bool(arguments(node)[-1])


RULE = MovedInt8()
