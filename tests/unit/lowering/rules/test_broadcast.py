from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.unit.lowering.graphs import Function, alone, prove


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.normalize(x, dim=1),
        lambda x: x - x.mean(1, keepdim=True).expand(-1, 4, -1, -1),
        lambda x: x.amax((2, 3), keepdim=True).expand_as(x) * x,
        lambda x: (y := x.mean(1, keepdim=True).expand_as(x)) * x + y,
    ],
)
def test_an_operator_reads_what_was_expanded(function: Callable[[Tensor], Tensor]) -> None:
    trial = alone("broadcast", Function(function), (1, 4, 5, 6))
    assert trial.result.applied >= 1
    assert not {"expand", "expand_as"} & set(trial.operators)


def test_an_expand_that_gives_the_shape_stays() -> None:
    trial = alone(
        "broadcast", Function(lambda x: x.mean(1, keepdim=True).expand(-1, 4, -1, -1) * 2 + torch.ones(1)), (1, 4, 5, 6)
    )
    assert trial.result.applied == 0
    assert trial.result.declined == {"nothing else gives the result its shape": 1}


def test_an_expand_with_another_reader_stays_for_it() -> None:
    trial = alone("broadcast", Function(lambda x: (y := x.mean(1, keepdim=True).expand_as(x)).relu() + x * y), (1, 4, 5, 6))
    assert trial.result.applied == 1
    assert trial.operators["expand_as"] == 1


def test_behind_every_other_rule() -> None:
    prove(Function(lambda x: F.normalize(x, dim=1) * 2))
