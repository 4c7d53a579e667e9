"""What integer kernels can carry: biases in int32, and factors between one scale and the next.

A factor is what a kernel multiplies its sums with to get the result's steps: scale of the input x scale of the weight / scale
of the result. XNNPACK refuses 256 and more, and sums whose operands have scales too far apart. Nothing is lost by keeping to
that: steps finer than those of the sums would give no more values.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from typing import Any

from torch.fx import GraphModule, Node

from onenet.calibration.scheme import ChannelMinMax, FixedRange, is_joined, observers
from onenet.lowering.operators import NEW_SCALE, WEIGHTED, aten

LARGEST_BIAS = 2.0**30
"""Of an int32 bias: as much again is left for the sum of the products, which takes up to 2**15 for each weight of a filter."""
LARGEST_FACTOR = 2.0**7
"""From sums to results: half of what XNNPACK takes, because corrected biases may widen their channels' scales again."""
LARGEST_RATIO = 2.0**9
"""Of the result's scale to that of what is added up: half of what XNNPACK takes."""
PRODUCTS = (aten.mul.Tensor,)
"""Operators whose sums have the product of their operands' scales."""


def make_room_for_biases(prepared: GraphModule) -> None:
    """Widen the scale of each weight's channel so far that its bias fits into int32. The inputs' scales are fixed already."""
    called = dict(observers(prepared))
    for node in prepared.graph.nodes:
        if node.target not in WEIGHTED or len(node.args) < 3 or node.args[2] is None:
            continue
        source, weight = (called.get(each) for each in node.args[:2])
        if source is not None and isinstance(weight, ChannelMinMax):
            bias = operator.attrgetter(str(node.args[2].target))(prepared).detach()
            weight.widen(bias.abs() / (scale_of(source) * LARGEST_BIAS))


def widen_activations(prepared: GraphModule) -> None:
    """Widen the ranges of activations until every factor is one that kernels take. Weights have been looked at."""
    changed = True
    while changed:
        make_room_for_biases(prepared)
        changed = any(observer.widen(least) for observer, least in least_scales(prepared))  # the rest in the next round


def least_scales(prepared: GraphModule) -> Iterator[tuple[FixedRange, float]]:
    """Each limit that an operator sets to the scale of its result or of what it reads, as scales are when it is asked for."""
    called = dict(observers(prepared))
    for node in prepared.graph.nodes:
        read = [called[each] for each in node.args if isinstance(each, Node) and each in called]
        result = observer_behind(node, called)
        if not read or result is None or node.target not in (*WEIGHTED, *NEW_SCALE):
            continue
        scales = [scale_of(each) for each in read]
        multiplies = node.target in (*WEIGHTED, *PRODUCTS)
        if node.target in PRODUCTS:  # converters quantize a number too
            scales += [abs(each) / 127 for each in node.args if isinstance(each, (int, float))]
        if isinstance(result, FixedRange):
            yield result, (math.prod(scales) if multiplies else max(scales)) / LARGEST_FACTOR
        for observer in read:
            if not multiplies and isinstance(observer, FixedRange):
                yield observer, scale_of(result) / LARGEST_RATIO


def observer_behind(node: Node, called: dict[Node, Any]) -> Any:
    """What looks at an operator's result, or at that of the ReLU or clamp that is one with it; None where nothing does."""
    for user in node.users:
        if user in called:
            return called[user]
    only = next(iter(node.users), None)
    return observer_behind(only, called) if only is not None and is_joined(only) and not is_joined(node) else None


def scale_of(observer: Any) -> float:
    """An observer's scale; of a weight, the largest of its channels."""
    return float(observer.calculate_qparams()[0].max())
