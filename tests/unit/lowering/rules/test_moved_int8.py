from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from onenet.lowering.graph import Graph
from onenet.lowering.operators import DEQUANTIZE, QUANTIZE
from tests.unit.lowering.graphs import Function, Trial, calls, run_on

SHAPE = (1, 4, 6, 8)
SCALE, OTHER = (0.01, 3, -128, 127, torch.int8), (0.02, -5, -128, 127, torch.int8)
PAIR = ["quantize_per_tensor", "dequantize_per_tensor"]


def stored(x: Tensor, scale: tuple[object, ...] = SCALE) -> Tensor:
    value: Tensor = DEQUANTIZE(QUANTIZE(x, *scale), *scale)
    return value


def trial(function: Callable[[Tensor], Tensor]) -> Trial:
    inputs = [torch.zeros(SHAPE)]
    program = torch.export.export(Function(function), tuple(inputs)).module(check_guards=False)
    return run_on(Graph.of(program), "moved_int8", inputs)


NAMES = ("getitem", "stack", "pad", "select", "index", "flip", "roll")
MOVES: dict[str, Callable[[Tensor], Tensor]] = {
    "split": lambda x: x.split([1, 3], 1)[1].exp(),
    "chunk": lambda x: x.chunk(2, 1)[1].exp(),
    "unbind": lambda x: x.unbind(1)[2].exp(),
    "stack": lambda x: torch.stack((x, x), 1).exp(),
    "zeros around": lambda x: F.pad(x, (1, 0, 2, 1)).exp(),
    "edges around": lambda x: F.pad(x, (1, 0, 2, 1), mode="replicate").exp(),
    "one": lambda x: x[:, 0].exp(),
    "picked": lambda x: x[:, [2, 1, 0]].exp(),
    "largest": lambda x: x.max(1)[0].exp(),
    "turned round": lambda x: x.flip(3).roll(1, 2).exp(),
    "to another scale": lambda x: stored(x.flip(3), OTHER),
}


@pytest.mark.parametrize("function", MOVES.values(), ids=MOVES)
def test_what_is_moved_stays_int8(function: Callable[[Tensor], Tensor]) -> None:
    result = trial(lambda x: function(stored(x)))
    names = calls(result.module)
    moves = [
        place for place, name in enumerate(names) if name in ("getitem", "stack", "pad", "select", "index", "flip", "roll")
    ]
    assert result.result.applied == len(moves) > 0
    assert all(names[place + 1 : place + 3] == PAIR for place in moves)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.pad(stored(x), (1, 1), value=0.5).exp(),
        lambda x: torch.stack((stored(x), stored(x, OTHER))).exp(),
        lambda x: x.flip(3).exp(),
        lambda x: stored(stored(x).flip(3)),
        lambda x: stored(x).max(1)[1],
    ],
    ids=["a number around", "two scales", "floats", "quantized already", "an index"],
)
def test_what_is_no_move_of_int8_stays(function: Callable[[Tensor], Tensor]) -> None:
    assert trial(function).left()
