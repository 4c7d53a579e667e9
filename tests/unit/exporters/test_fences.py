"""Where fences stand. That they hold in the converter: ``tests/export/test_islands.py``."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import GraphModule

from onenet.exporters.fences import Fenced
from onenet.lowering.operators import DEQUANTIZE, DEQUANTIZE_CHANNELS, QUANTIZE, QUANTIZE_CHANNELS

SCALE, OTHER = (0.01, 3, -128, 127, torch.int8), (0.02, -5, -128, 127, torch.int8)
WEIGHT = torch.linspace(-1, 1, 9).reshape(1, 1, 3, 3)
CHANNELS = (torch.tensor([0.01]), torch.tensor([0]), 0, -127, 127, torch.int8)


def stored(x: Tensor, scale: tuple[object, ...] = SCALE) -> Tensor:
    value: Tensor = DEQUANTIZE(QUANTIZE(x, *scale), *scale)
    return value


def convolved(x: Tensor) -> Tensor:
    weight = DEQUANTIZE_CHANNELS(QUANTIZE_CHANNELS(WEIGHT, *CHANNELS), *CHANNELS)
    return F.conv2d(x, weight)


class Function(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def fences(function: Callable[[Tensor], Tensor]) -> list[tuple[str, str]]:
    """Every edge with a fence, by the operators' names."""
    program = torch.export.export(Function(function), (torch.zeros(1, 1, 8, 8),)).module(check_guards=False)
    assert isinstance(program, GraphModule)
    fenced = Fenced(program)
    edges = [(source, node) for node in program.graph.nodes for source in node.all_input_nodes]
    return [(source.name, node.name) for source, node in edges if fenced.is_fenced(source, node)]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: F.softplus(stored(x)), [("dequantize_per_tensor", "softplus")]),
        (lambda x: stored(F.softplus(x)), [("softplus", "quantize_per_tensor")]),
        (lambda x: 1 / F.conv2d(x, WEIGHT), [("conv2d", "reciprocal")]),
        (lambda x: x[..., :6, :6] / F.conv2d(x, WEIGHT), [("conv2d", "div")]),
        (lambda x: F.conv2d(x, WEIGHT) / 3, []),
        (lambda x: stored(stored(x), OTHER), [("dequantize_per_tensor", "quantize_per_tensor_1")]),
        (lambda x: torch.where(stored(x) > 0, 1.0, 2.0), [("dequantize_per_tensor", "gt")]),
        (
            lambda x: stored(F.adaptive_avg_pool2d(stored(x), 3), OTHER),
            [("dequantize_per_tensor", "adaptive_avg_pool2d"), ("adaptive_avg_pool2d", "quantize_per_tensor_1")],
        ),
        (
            lambda x: stored(F.interpolate(stored(x), scale_factor=2), OTHER),
            [("dequantize_per_tensor", "upsample_nearest2d"), ("upsample_nearest2d", "quantize_per_tensor_1")],
        ),
        (lambda x: F.conv2d(stored(x), WEIGHT), [("dequantize_per_tensor", "conv2d")]),
        (
            lambda x: stored(y := F.relu(convolved(stored(x)))) + y,
            [("dequantize_per_tensor", "conv2d"), ("relu", "quantize_per_tensor_1"), ("dequantize_per_tensor_1", "add")],
        ),
        (lambda x: stored(stored(x) + x.exp()), [("dequantize_per_tensor", "add"), ("add", "quantize_per_tensor_1")]),
    ],
    ids=[
        "out of int8",
        "into int8",
        "one over a layer",
        "divided by a layer",
        "divided by a number",
        "another scale",
        "compared",
        "an adaptive pool",
        "a resizing to another scale",
        "a float layer",
        "read as floats too",
        "half of it float",
    ],
)
def test_a_fence_where_int8_ends(function: Callable[[Tensor], Tensor], expected: list[tuple[str, str]]) -> None:
    assert fences(function) == expected


@pytest.mark.parametrize(
    "function",
    [
        lambda x: stored(torch.cat([stored(x).permute(0, 1, 3, 2), stored(x)], 1)),
        lambda x: stored(convolved(stored(x).permute(0, 1, 3, 2))),
        lambda x: stored(F.relu6(stored(convolved(stored(x)))), OTHER),
        lambda x: stored(F.relu(convolved(stored(x)))),
        lambda x: stored(torch.cat([stored(part) for part in stored(x).split(4, 2)], 3)),
        lambda x: stored(stored(x).permute(0, 2, 3, 1).reshape(1, 8, 8, 1).permute(0, 3, 1, 2)),
        lambda x: stored(F.adaptive_avg_pool2d(stored(x), 1), OTHER),
        lambda x: stored(x).argmax(2),
        lambda x: F.softplus(x).exp(),
    ],
    ids=["joined moves", "a layer of a move", "ReLU6", "a layer and its ReLU", "parts", "moves", "a mean", "labels", "floats"],
)
def test_none_inside_of_int8_and_of_float(function: Callable[[Tensor], Tensor]) -> None:
    assert fences(function) == []
