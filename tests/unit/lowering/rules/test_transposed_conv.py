from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.unit.lowering.graphs import Function, alone, lowered, operators


@pytest.mark.parametrize(("factor", "bias"), [(2, True), (3, False)])
def test_without_overlap_becomes_a_shuffle(factor: int, bias: bool) -> None:
    layer = nn.ConvTranspose2d(5, 3, factor, stride=factor, bias=bias)
    trial = alone("transposed_conv", layer, (2, 5, 4, 6))
    assert (trial.result.applied, trial.operators) == (1, {"conv2d": 1, "pixel_shuffle": 1})
    assert operators(lowered(layer, (2, 5, 4, 6)).module) == {"conv2d": 1, "pixel_shuffle": 1}


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.ConvTranspose2d(4, 4, 3, stride=2, padding=1), "kernel and stride differ: outputs overlap or leave gaps"),
        (nn.ConvTranspose2d(4, 4, (2, 3), stride=(2, 3)), "kernel and stride differ: outputs overlap or leave gaps"),
        (nn.ConvTranspose2d(4, 4, 2, stride=2, groups=2), "padded, grouped or dilated"),
        (nn.ConvTranspose2d(4, 4, 2, stride=2, padding=1), "padded, grouped or dilated"),
        (nn.ConvTranspose2d(4, 4, 2, stride=2, output_padding=1), "padded, grouped or dilated"),
        (nn.ConvTranspose2d(4, 4, 2, stride=2, dilation=2), "padded, grouped or dilated"),
    ],
)
def test_others_are_left_with_the_reason(layer: nn.Module, reason: str) -> None:
    assert alone("transposed_conv", layer, (1, 4, 4, 4)).left(reason)
    assert operators(lowered(layer, (1, 4, 4, 4)).module) == {"conv_transpose2d": 1}


def test_a_computed_weight_stays() -> None:
    module = Function(lambda x, weight: torch.conv_transpose2d(x, weight, stride=2))
    assert alone("transposed_conv", module, (1, 4, 4, 4), (4, 3, 2, 2)).left("the weight is computed")
