from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.unit.lowering.graphs import Function, alone

SMALL: list[Callable[[Tensor], Tensor]] = [
    lambda x: x + 1e-12,
    lambda x: x - 1e-9,
    lambda x: x * 1.000003,
    lambda x: x / 0.999999,
]


@pytest.mark.parametrize("function", SMALL, ids=["add", "sub", "mul", "div"])
def test_a_small_number_is_a_constant_of_one_dimension(function: Callable[[Tensor], Tensor]) -> None:
    trial = alone("small_numbers", Function(function))
    assert trial.result.applied == 1
    (node,) = (node for node in trial.module.graph.nodes if node.op == "call_function")
    assert node.args[1].meta["val"].shape == (1,)


@pytest.mark.parametrize("function", [lambda x: x + 0.001, lambda x: x * 1.01, lambda x: x * 1.0, lambda x: x * 1e-12])
def test_other_numbers_stay(function: Callable[[Tensor], Tensor]) -> None:
    assert alone("small_numbers", Function(function)).left()


def test_one_value_keeps_its_shape() -> None:
    trial = alone("small_numbers", Function(lambda x: x / (x.square().sum() + 1e-12)))
    assert trial.result.applied == 1 and trial.operators["reshape"] == 1


def test_a_scaled_number_is_left_with_the_reason() -> None:
    assert alone("small_numbers", Function(lambda x: torch.add(x, 1e-12, alpha=2))).left("the number is scaled")
