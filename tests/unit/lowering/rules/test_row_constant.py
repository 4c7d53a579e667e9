from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from onenet.lowering.graph import shape
from onenet.lowering.rules.input_shift import FEW
from tests.unit.lowering.graphs import alone, arranged

IMAGE = (2, 3, 6, 10)
Arithmetic = Callable[[Tensor, Tensor], Tensor]


class With(nn.Module):
    """A function of the input and a constant."""

    def __init__(self, function: Arithmetic, size: tuple[int, ...] = (1, 3, 1, 1)) -> None:
        super().__init__()
        self.function = function
        self.register_buffer("constant", torch.rand(size) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, self.constant)  # type: ignore[arg-type]  # a buffer


@pytest.mark.parametrize("target", [torch.add, torch.sub, torch.mul, torch.div])
@pytest.mark.parametrize("first", [True, False])
def test_one_value_per_channel_becomes_a_row(target: Arithmetic, first: bool) -> None:
    trial = alone("row_constant", With(lambda x, c: target(x, c) if first else target(c, x)), IMAGE)
    assert trial.result.applied == 1
    (node,) = [each for each in trial.module.graph.nodes if each.op == "call_function"]
    assert sorted(shape(each) for each in node.args) == [(1, 3, 1, 10), IMAGE]


def test_where_nothing_is_gained_it_stays() -> None:
    assert alone("row_constant", With(torch.add, (1, FEW, 1, 1)), (2, FEW, 6, 10)).left()
    assert alone("row_constant", With(torch.add, (1, 1, 1, 1)), (2, 1, 6, 10)).left()
    assert alone("row_constant", With(torch.add, (1, 3, 1, 1)), (1, 3, 1, 1)).left()
    assert alone("row_constant", With(torch.add, (1, 3, 1)), (2, 3, 10)).left()
    assert alone("row_constant", With(torch.add, (1, 3, 6, 1)), IMAGE).left()
    assert alone("row_constant", With(lambda x, c: torch.add(x, c, alpha=2)), IMAGE).left()


def test_values_are_the_network_s_in_float32() -> None:
    arranged(With(torch.sub), IMAGE)
