from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.unit.lowering.graphs import (
    IMAGE,
    Function,
    Net,
    alone,
    conv,
    lowered,
    operators,
    prove,
    result_of,
    stack,
)

AFTER = ["batch_norm", "normalisation"]
BORDER = "followed by a zero-padded convolution: exact except at the border"


@pytest.mark.parametrize(
    ("between", "layer"),
    [
        ((), conv()),
        ((), conv(kernel=3, stride=2, bias=False)),
        ((nn.PixelUnshuffle(2),), conv(16)),
        ((nn.PixelUnshuffle(2), nn.BatchNorm2d(16)), conv(16)),
    ],
    ids=["into it", "without bias", "past an unshuffle", "past an unshuffle, merged"],
)
def test_into_the_convolution_behind(between: tuple[nn.Module, ...], layer: nn.Module) -> None:
    trial = alone("fold_forward", stack(nn.ReLU(), nn.BatchNorm2d(4), *between, layer), behind=AFTER)
    assert trial.result.declined == {}
    assert trial.result.applied >= 1
    assert "channel_affine" not in trial.operators
    assert trial.operators["conv2d"] == 1


def test_merging_two_makes_a_third() -> None:
    trial = alone("fold_forward", stack(nn.BatchNorm2d(4), nn.BatchNorm2d(4), nn.BatchNorm2d(4), conv()), behind=AFTER)
    assert (trial.result.applied, trial.operators) == (3, {"conv2d": 1})


def both(net: nn.ModuleList, x: Tensor) -> Tensor:
    """An affine that two convolutions read, one of which it cannot go into."""
    y = net[0](F.relu(x))
    return net[1](y) + net[2](y)


def test_on_the_branch_that_cannot_take_it_it_stays() -> None:
    trial = alone("fold_forward", Net(both, nn.BatchNorm2d(4), conv(), conv(kernel=3, padding=1)), behind=AFTER)
    assert (trial.result.applied, trial.result.declined) == (1, {BORDER: 1})
    assert trial.operators == trial.before


def with_itself(net: nn.ModuleList, x: Tensor) -> Tensor:
    y = net[1](F.relu(net[0](x)))
    return net[2](torch.cat([y, y], 1))


def with_another(net: nn.ModuleList, x: Tensor) -> Tensor:
    return net[2](torch.cat([net[0](F.relu(x)), net[1](F.relu(-x)), x], 1))


def test_past_a_concatenation_of_several() -> None:
    trial = alone("fold_forward", Net(with_another, nn.BatchNorm2d(4), nn.BatchNorm2d(4), conv(12)), behind=AFTER)
    assert (trial.result.applied, trial.result.declined) == (2, {})
    assert trial.before - trial.operators == {"channel_affine": 2}


LEFT = {
    "grouped": (stack(conv(), nn.ReLU(), nn.BatchNorm2d(4), conv(groups=2)), "followed by a grouped convolution"),
    "padded": (stack(conv(), nn.ReLU(), nn.BatchNorm2d(4), conv(kernel=3, padding=1)), BORDER),
    "concatenated with itself": (Net(with_itself, conv(), nn.BatchNorm2d(4), conv(8, 3)), "concatenated with itself"),
    "not linear": (stack(nn.ReLU(), nn.BatchNorm2d(4), nn.Sigmoid()), "followed by sigmoid, which is not linear per channel"),
    "the output": (stack(nn.ReLU(), nn.BatchNorm2d(4)), "followed by output, which is not linear per channel"),
    "not linear behind an unshuffle": (
        stack(nn.ReLU(), nn.BatchNorm2d(4), nn.PixelUnshuffle(2), nn.ReLU()),
        "followed by relu, which is not linear per channel",
    ),
}


@pytest.mark.parametrize("name", LEFT)
def test_others_are_left_with_the_reason(name: str) -> None:
    module, reason = LEFT[name]
    assert alone("fold_forward", module, behind=AFTER).left(reason)
    assert result_of("fold_forward", lowered(module).rules).declined == {reason: 1}
    prove(module)


def test_a_computed_weight_stays() -> None:
    module = Function(lambda x, weight: torch.conv2d(x.relu() * 2, weight))
    reason = "followed by a convolution whose weight is computed"
    assert alone("fold_forward", module, IMAGE, (3, 4, 1, 1), behind=AFTER).left(reason)


def test_zero_padding_keeps_the_affine() -> None:
    form = lowered(stack(nn.Conv2d(3, 5, 1), nn.ReLU(), nn.BatchNorm2d(5), nn.Conv2d(5, 4, 3, padding=1)), (1, 3, 8, 10))
    assert result_of("fold_forward", form.rules).declined == {BORDER: 1}
    assert result_of("depthwise_affine", form.rules).applied == 1


def test_through_unshuffle_and_concat_of_a_foreign_network() -> None:
    class SuperResolution(nn.Module):
        """Conv -> ReLU -> BatchNorm, unshuffle, concat, 1x1, depth to space: other people's parts in another order."""

        def __init__(self) -> None:
            super().__init__()
            self.a, self.bn = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
            self.b, self.c = nn.Conv2d(16, 6, 1), nn.Conv2d(22, 12, 1)

        def forward(self, x: Tensor) -> Tensor:
            down = F.pixel_unshuffle(self.bn(F.relu(self.a(x))), 2)
            return F.pixel_shuffle(self.c(torch.cat([F.relu(self.b(down)), down], 1)), 2)

    form = lowered(SuperResolution(), (1, 3, 8, 12))
    assert operators(form.module) == {"conv2d": 3, "relu": 2, "pixel_unshuffle": 1, "cat": 1, "pixel_shuffle": 1}
    strided = result_of("strided_conv", form.rules)
    assert (strided.applied, strided.declined) == (1, {"followed by cat, not by a convolution": 1})
