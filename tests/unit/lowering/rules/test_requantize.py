from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from onenet.lowering.graph import Graph
from onenet.lowering.operators import DEQUANTIZE, QUANTIZE
from tests.unit.lowering.graphs import IMAGE, Function, Trial, run_on


def pair(x: Tensor, scale: float = 0.01) -> Tensor:
    """Through int8 and back, as calibration writes it."""
    scheme = (scale, 3, -128, 127, torch.int8)
    result: Tensor = DEQUANTIZE(QUANTIZE(x, *scheme), *scheme)
    return result


def requantized(function: Callable[[Tensor], Tensor]) -> Trial:
    program = torch.export.export(Function(function), (torch.zeros(IMAGE),))
    return run_on(Graph.of(program.module(check_guards=False)), "requantize", [torch.zeros(IMAGE)])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: pair(F.pixel_unshuffle(pair(x), 2)).permute(0, 2, 3, 1),
        lambda x: pair(F.pixel_unshuffle(pair(x).permute(0, 1, 3, 2), 2)).flatten(2),
    ],
    ids=["one move", "a chain of moves"],
)
def test_a_pair_between_moves_goes(function: Callable[[Tensor], Tensor]) -> None:
    trial = requantized(function)
    assert trial.result.applied == 1
    assert trial.before - trial.operators == {"quantize_per_tensor": 1, "dequantize_per_tensor": 1}


@pytest.mark.parametrize(
    "function",
    [
        lambda x: pair(F.pixel_unshuffle(pair(x), 2), 0.02).permute(0, 2, 3, 1),
        lambda x: pair(F.pixel_unshuffle(x, 2)).permute(0, 2, 3, 1),
        lambda x: pair(pair(x).relu()).permute(0, 2, 3, 1),
        lambda x: pair(F.pixel_unshuffle(pair(x), 2)).relu(),
        lambda x: (lambda y: y.permute(0, 2, 3, 1).reshape(y.shape) + y)(pair(F.pixel_unshuffle(pair(x), 2))),
    ],
    ids=["another scale", "of floats", "behind an operator", "before an operator", "read by an operator too"],
)
def test_any_other_pair_stays(function: Callable[[Tensor], Tensor]) -> None:
    assert requantized(function).left()


class Stored(nn.Module):
    """Adds a constant that is stored in integers."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("place", torch.randint(-128, 127, IMAGE, dtype=torch.int8))

    def forward(self, x: Tensor) -> Tensor:
        return pair(x).permute(0, 2, 3, 1) + DEQUANTIZE(self.place, 0.01, 3, -128, 127, torch.int8).permute(0, 2, 3, 1)


def test_a_stored_constant_is_no_pair() -> None:
    program = torch.export.export(Stored(), (torch.zeros(IMAGE),))
    assert run_on(Graph.of(program.module(check_guards=False)), "requantize", [torch.zeros(IMAGE)]).left()
