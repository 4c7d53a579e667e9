from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.unit.lowering.graphs import Function, Net, alone, conv, lowered, operators, prove, stack


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_becomes_one_strided_convolution(factor: int, channels: int) -> None:
    module = stack(nn.PixelUnshuffle(factor), nn.Conv2d(channels * factor * factor, 5, 1))
    shape = (2, channels, 2 * factor, 3 * factor)
    trial = alone("strided_conv", module, shape)
    assert (trial.result.applied, trial.operators) == (1, {"conv2d": 1})
    assert operators(lowered(module, shape).module) == {"conv2d": 1}


def two_readers(net: nn.ModuleList, x: Tensor) -> Tensor:
    y = F.pixel_unshuffle(x, 2)
    return net[0](y) + net[1](y).mean() + y.mean()


def test_for_every_reader_by_itself() -> None:
    trial = alone("strided_conv", Net(two_readers, conv(16), conv(16)))
    assert (trial.result.applied, trial.result.declined) == (2, {"followed by mean, not by a convolution": 1})
    assert trial.operators == trial.before


LARGER = "followed by a convolution other than 1x1"
LEFT = {
    "larger": (stack(nn.PixelUnshuffle(2), conv(16, 5, 3)), LARGER),
    "grouped": (stack(nn.PixelUnshuffle(2), conv(16, groups=4)), LARGER),
    "strided": (stack(nn.PixelUnshuffle(2), conv(16, stride=2)), LARGER),
    "padded": (stack(nn.PixelUnshuffle(2), conv(16, padding=1)), LARGER),
    "no convolution": (stack(nn.PixelUnshuffle(2), nn.ReLU()), "followed by relu, not by a convolution"),
}


@pytest.mark.parametrize("name", LEFT)
def test_others_are_left_with_the_reason(name: str) -> None:
    module, reason = LEFT[name]
    trial = alone("strided_conv", module)
    assert trial.left(reason)
    assert trial.operators["pixel_unshuffle"] == 1
    prove(module)


def test_a_computed_weight_stays() -> None:
    module = Function(lambda x, weight: torch.conv2d(F.pixel_unshuffle(x, 2), weight))
    reason = "followed by a convolution whose weight is computed"
    assert alone("strided_conv", module, (1, 4, 4, 4), (3, 16, 1, 1)).left(reason)
