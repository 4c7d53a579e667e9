from __future__ import annotations

import torch
from torch import Tensor

from onenet.lowering.graph import Graph
from onenet.lowering.operators import DEQUANTIZE, PIXELS, PLANES, QUANTIZE
from tests.unit.lowering.graphs import IMAGE, Function, alone, calls, run_on


def planes(x: Tensor) -> Tensor:
    """Something computed on pixels, as planes."""
    return x.permute(PIXELS).relu().permute(PLANES)


def pair(x: Tensor) -> Tensor:
    """Through int8 and back, as calibration writes it."""
    scheme = (0.01, 3, -128, 127, torch.int8)
    result: Tensor = DEQUANTIZE(QUANTIZE(x, *scheme), *scheme)
    return result


def test_of_planes_becomes_of_pixels() -> None:
    trial = alone("concat_order", Function(lambda x: torch.cat([planes(x), planes(-x)], 1)))
    assert trial.result.applied == 1
    assert trial.before - trial.operators == {"permute": 1}
    (cat,) = [node for node in trial.module.graph.nodes if node.name.startswith("cat")]
    assert cat.args[1] == 3


def test_one_part_on_planes_is_worth_it_where_pixels_are_read() -> None:
    trial = alone("concat_order", Function(lambda x: torch.cat([planes(x), x], 1).permute(PIXELS).relu()))
    assert trial.result.applied == 1


def test_through_int8_and_back() -> None:
    module = Function(lambda x: pair(torch.cat([pair(planes(x)), pair(planes(-x))], 1)).permute(PIXELS))
    graph = Graph.of(torch.export.export(module, (torch.zeros(IMAGE),)).module(check_guards=False))
    trial = run_on(graph, "concat_order", [torch.zeros(IMAGE)])
    assert trial.result.applied == 1
    assert calls(trial.module)[-5:] == ["cat", "quantize_per_tensor", "dequantize_per_tensor", "permute", "permute"]


def test_as_many_added_as_saved_stays() -> None:
    assert alone("concat_order", Function(lambda x: torch.cat([planes(x), x], 1))).left("between operators on planes")
    assert alone("concat_order", Function(lambda x: torch.cat([x, x], 1))).left("between operators on planes")


def test_of_anything_else_is_no_match() -> None:
    assert alone("concat_order", Function(lambda x: torch.cat([planes(x), planes(x)], 2))).left()
    assert alone("concat_order", Function(lambda x: torch.cat([x, x], 1)), (2, 4, 8)).left()
