from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from onenet.lowering.trace import traced
from tests.unit.lowering.graphs import IMAGE, Function, alone, conv, lowered, operators, stack


@pytest.mark.parametrize(
    ("activation", "gate"),
    [(nn.SiLU(), "sigmoid"), (nn.SiLU(True), "sigmoid"), (nn.Hardswish(), "hardsigmoid"), (nn.Hardswish(True), "hardsigmoid")],
    ids=["SiLU", "SiLU in place", "hard-swish", "hard-swish in place"],
)
def test_a_gated_tensor_is_a_product(activation: nn.Module, gate: str) -> None:
    trial = alone("gates", stack(conv(), activation, conv()))
    assert trial.result.applied == 1
    assert trial.operators == {"conv2d": 2, gate: 1, "mul": 1}


def test_what_is_changed_in_place_and_read_again_stays() -> None:
    def twice(x: Tensor) -> Tensor:
        y = 2 * x
        view = y.flatten()
        return F.silu(y, inplace=True).flatten() + view

    assert "silu_" in operators(traced(Function(twice), (torch.zeros(IMAGE),)))
    assert alone("gates", Function(twice)).left("it changes a value in place that others read")


@pytest.mark.parametrize("gate", [torch.sigmoid, F.hardsigmoid, F.gelu, torch.tanh], ids=lambda each: each.__name__)
def test_what_has_a_form_of_its_own_stays(gate: Callable[[Tensor], Tensor]) -> None:
    assert alone("gates", Function(gate)).left()


def test_every_network_goes_through_it() -> None:
    assert not {"silu", "hardswish"} & operators(lowered(stack(conv(), nn.SiLU(), conv(), nn.Hardswish())).module).keys()
