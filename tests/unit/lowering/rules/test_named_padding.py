from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.unit.lowering.graphs import alone, convolutions, lowered, operators, same

EVEN = "ignore:Using padding='same' with even kernel lengths:UserWarning"
"""torch's, of its own speed."""


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), ((1, 5), (1, 2)), (2, 1), ((4, 3), 3)])
@pytest.mark.filterwarnings(EVEN)
def test_becomes_numbers(padding: str, kernel: int | tuple[int, int], dilation: int | tuple[int, int]) -> None:
    """As torch pads them, so that BatchNorm can be folded and int8 finds a convolution that it knows."""
    net = nn.Sequential(nn.Conv2d(3, 4, kernel, padding=padding, dilation=dilation), nn.BatchNorm2d(4), nn.ReLU())
    module = lowered(net, (2, 3, 14, 15)).module
    assert set(operators(module)) - {"constant_pad_nd"} == {"conv2d", "relu"}
    assert all(node.target is torch.ops.aten.conv2d.default for node in convolutions(module))


@pytest.mark.filterwarnings(EVEN)
def test_the_uneven_pixel_is_a_pad() -> None:
    even = alone("named_padding", nn.Conv2d(4, 4, 2, padding="same"))
    assert (even.result.applied, even.operators) == (1, {"constant_pad_nd": 1, "conv2d": 1})
    odd = alone("named_padding", nn.Conv2d(4, 4, 3, padding="same"))
    assert (odd.result.applied, odd.operators) == (1, {"conv2d": 1})
    assert convolutions(odd.module)[0].args[4] == [1, 1]


def test_of_a_sequence() -> None:
    trial = alone("named_padding", nn.Conv1d(3, 4, 5, padding="same"), (1, 3, 20))
    assert (trial.result.applied, trial.operators) == (1, {"conv1d": 1})


def test_numbers_stay() -> None:
    assert alone("named_padding", same(4, 4, 3, 3)).left()
