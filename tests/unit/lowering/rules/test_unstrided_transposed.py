from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.unit.lowering.graphs import Function, alone, lowered, operators

SHAPE = (2, 4, 5, 7)


@pytest.mark.parametrize(
    "layer",
    [
        nn.ConvTranspose2d(4, 6, 3, 1, 1),
        nn.ConvTranspose2d(4, 6, (2, 5), bias=False),
        nn.ConvTranspose2d(4, 6, 3, 1, (2, 0), dilation=2),
        nn.ConvTranspose2d(4, 6, 3, 1, 1, groups=2),
    ],
)
def test_it_is_a_convolution(layer: nn.Module) -> None:
    trial = alone("unstrided_transposed", layer, SHAPE)
    assert (trial.result.applied, trial.operators) == (1, {"conv2d": 1})
    assert operators(lowered(layer, SHAPE).module) == {"conv2d": 1}


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.ConvTranspose2d(4, 4, 3, 1, 3), "more padding than the kernel reaches"),
        (nn.ConvTranspose2d(4, 4, 3, 1, 1, 1, dilation=2), "padded at one end alone"),
    ],
)
def test_others_are_left_with_the_reason(layer: nn.Module, reason: str) -> None:
    assert alone("unstrided_transposed", layer, SHAPE).left(reason)


def test_strides_and_computed_weights_stay() -> None:
    assert alone("unstrided_transposed", nn.ConvTranspose2d(4, 4, 3, 2), SHAPE).left()
    module = Function(lambda x, weight: torch.conv_transpose2d(x, weight))
    assert alone("unstrided_transposed", module, SHAPE, (4, 3, 2, 2)).left("the weight is computed")
