"""Values that go through int8, as calibration writes it, and all the integers there are."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from onenet.lowering.driver import RULES, run_rule
from onenet.lowering.graph import Graph
from onenet.lowering.operators import DEQUANTIZE, QUANTIZE
from onenet.lowering.rule import Rule
from tests.unit.lowering.graphs import Function

INTEGERS = torch.arange(-128, 128.0)
"""Each of int8 once."""


def stored(x: Tensor, scale: float, zero_point: int) -> Tensor:
    """Through int8 and back, as calibration writes it."""
    scheme = (scale, zero_point, -128, 127, torch.int8)
    result: Tensor = DEQUANTIZE(QUANTIZE(x, *scheme), *scheme)
    return result


def every_integer(function: Callable[[Tensor], Tensor], scale: float, zero_point: int) -> tuple[Graph, Tensor]:
    """The graph of a function of int8 values, and all of them, (1, 1, 16, 16)."""
    values = ((INTEGERS - zero_point) * scale).reshape(1, 1, 16, 16)
    module = Function(lambda x: function(stored(x, scale, zero_point)))
    return Graph.of(torch.export.export(module, (values,)).module(check_guards=False)), values


def rewritten(graph: Graph, *rules: str) -> list[int]:
    """Run rules; how often each was applied."""
    found: list[Rule[object]] = [RULES.get(name, "rule") for name in rules]
    return [run_rule(rule, graph).applied for rule in found]
