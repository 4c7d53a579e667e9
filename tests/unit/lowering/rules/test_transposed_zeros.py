from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.unit.lowering.graphs import Function, alone

SHAPE = (1, 4, 5, 7)


@pytest.mark.parametrize(
    "layer",
    [
        nn.ConvTranspose2d(4, 6, 2, 2, 0, 1),
        nn.ConvTranspose2d(4, 6, (3, 2), 3, (0, 1), (2, 2), bias=False),
        nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, dilation=2),
        nn.ConvTranspose2d(4, 6, (2, 3), (1, 3), 0, (1, 2), groups=2, dilation=(2, 3)),
    ],
)
def test_the_kernel_gets_zeros(layer: nn.ConvTranspose2d) -> None:
    trial = alone("transposed_zeros", layer, SHAPE)
    (node,) = (node for node in trial.module.graph.nodes if node.op == "call_function")
    _, _, _, _, padding, output_padding, *dilation = node.args
    assert trial.result.applied == 1
    assert all(o <= p for o, p in zip(output_padding, padding, strict=True))
    assert dilation == [layer.groups]


@pytest.mark.parametrize("layer", [nn.ConvTranspose2d(4, 4, 3, 2, 1, 1), nn.ConvTranspose2d(4, 4, 2, 2, groups=2)])
def test_a_dense_kernel_that_reaches_the_end_stays(layer: nn.Module) -> None:
    assert alone("transposed_zeros", layer, SHAPE).left()


def test_a_computed_weight_stays() -> None:
    module = Function(lambda x, weight: torch.conv_transpose2d(x, weight, stride=2, output_padding=1))
    assert alone("transposed_zeros", module, SHAPE, (4, 3, 2, 2)).left("the weight is computed")
