"""Networks of other people whose parts look like what a rule rewrites: lowered where that is exact, else left with a reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from onenet.lowering import arrange, lower_module
from onenet.lowering.driver import common_order, target_order
from onenet.targets import TARGETS
from tests.conftest import shake
from tests.unit.lowering.test_lowering import operators, rule

IMAGE = (2, 4, 8, 12)


class Net(nn.Module):
    """Layers under ``net``, applied by a function."""

    def __init__(self, forward: Callable[[nn.ModuleList, Tensor], Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.net = nn.ModuleList(layers)
        self.function = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.net, x)


def in_turn(net: nn.ModuleList, x: Tensor) -> Tensor:
    for layer in net:
        x = layer(x)
    return x


def sequence(net: nn.ModuleList, x: Tensor) -> Tensor:
    """The layers on (N, 1, H*W*C), pixel by pixel."""
    return in_turn(net, x.permute(0, 2, 3, 1).reshape(x.shape[0], 1, -1))


def read_twice(net: nn.ModuleList, x: Tensor) -> Tensor:
    """conv -> ReLU -> BN, whose ReLU somebody else reads as well."""
    y = F.relu(net[0](x))
    return net[1](y).mean((2, 3), keepdim=True) + y


def read_behind_convolution(net: nn.ModuleList, x: Tensor) -> Tensor:
    y = net[0](x)
    return net[1](y) + y


def shared(net: nn.ModuleList, x: Tensor) -> Tensor:
    """One convolution and one BatchNorm, used twice on different values."""
    x = net[1](F.relu(net[0](x)))
    return net[1](F.relu(net[0](x)))


def with_itself(net: nn.ModuleList, x: Tensor) -> Tensor:
    y = net[1](F.relu(net[0](x)))
    return net[2](torch.cat([y, y], 1))


def conv(c_in: int = 4, c_out: int = 4, kernel: int = 1, **options: int) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, kernel, **options)  # type: ignore[arg-type]  # whole numbers all


DECLINED = {
    "channel-wise, stride 1": (
        Net(sequence, nn.Conv1d(1, 3, 4)),
        "channelwise_conv",
        "kernel and stride differ: a spatial convolution",
    ),
    "channel-wise, dilated": (
        Net(sequence, nn.Conv1d(1, 3, 4, stride=4, dilation=2)),
        "channelwise_conv",
        "padded, dilated or grouped",
    ),
    "channel-wise, padded": (
        Net(sequence, nn.Conv1d(1, 3, 4, stride=4, padding=2)),
        "channelwise_conv",
        "padded, dilated or grouped",
    ),
    "spatial, dilated": (Net(sequence, nn.Conv1d(1, 1, 3, padding=2, dilation=2)), "spatial_conv", "dilated"),
    "unshuffle, grouped": (
        Net(in_turn, nn.PixelUnshuffle(2), conv(16, 4, groups=4)),
        "strided_conv",
        "followed by a convolution other than 1x1",
    ),
    "unshuffle, stride 2": (
        Net(in_turn, nn.PixelUnshuffle(2), conv(16, 4, stride=2)),
        "strided_conv",
        "followed by a convolution other than 1x1",
    ),
    "unshuffle, padded": (
        Net(in_turn, nn.PixelUnshuffle(2), conv(16, 4, padding=1)),
        "strided_conv",
        "followed by a convolution other than 1x1",
    ),
    "affine, grouped": (
        Net(in_turn, conv(), nn.ReLU(), nn.BatchNorm2d(4), conv(groups=2)),
        "fold_forward",
        "followed by a grouped convolution",
    ),
    "affine, padded": (
        Net(in_turn, conv(), nn.ReLU(), nn.BatchNorm2d(4), conv(kernel=3, padding=1)),
        "fold_forward",
        "followed by a zero-padded convolution: exact except at the border",
    ),
    "affine, concatenated with itself": (
        Net(with_itself, conv(), nn.BatchNorm2d(4), conv(8, 3)),
        "fold_forward",
        "concatenated with itself",
    ),
    "ReLU read twice": (
        Net(read_twice, conv(), nn.BatchNorm2d(4)),
        "relu_scale",
        "the ReLU's input or output is used elsewhere as well",
    ),
    "convolution read twice": (
        Net(read_behind_convolution, conv(), nn.BatchNorm2d(4)),
        "fold_backward",
        "the convolution's result is used without the affine as well",
    ),
    "statistics of the batch": (
        Net(in_turn, conv(), nn.BatchNorm2d(4, track_running_stats=False)),
        "batch_norm",
        "normalises with the statistics of the batch",
    ),
}
LOWERED = {
    "in-place ReLU": Net(in_turn, conv(), nn.ReLU(inplace=True), nn.BatchNorm2d(4), conv()),
    "modules used twice": Net(shared, conv(), nn.BatchNorm2d(4)),
    "left in training mode": Net(in_turn, conv(), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5)).train(),
    "dilated with padding": Net(in_turn, conv(kernel=3, padding=2, dilation=2), nn.BatchNorm2d(4), nn.ReLU()),
    "grouped before BatchNorm": Net(in_turn, conv(groups=2), nn.ReLU(), nn.BatchNorm2d(4), conv()),
    "unshuffle and shuffle": Net(in_turn, nn.PixelUnshuffle(2), nn.PixelShuffle(2)),
    "shuffle of a grouped convolution": Net(in_turn, conv(4, 16, groups=2), nn.ReLU(), nn.PixelShuffle(2)),
}


def prove(module: nn.Module, shape: tuple[int, ...] = IMAGE) -> None:
    """Every rule of every target together in float64, and the target's own form in float32."""
    for target in TARGETS.cards():
        assert lower_module(module, (torch.zeros(shape),), (*common_order(), *target_order(target))).error <= 1e-12
        arrange(lower_module(module, (torch.zeros(shape),)).module, (torch.zeros(shape),), target)


@pytest.mark.parametrize("name", DECLINED)
def test_left_unchanged_with_the_reason(name: str) -> None:
    module, which, reason = DECLINED[name]
    lowered = lower_module(shake(module), (torch.zeros(IMAGE),))
    assert rule(which, lowered).declined == {reason: 1}
    prove(module)


@pytest.mark.parametrize("name", LOWERED)
def test_lowered_exactly(name: str) -> None:
    prove(shake(LOWERED[name]))


def test_the_users_module_is_left_as_it_was() -> None:
    module = Net(in_turn, conv(), nn.BatchNorm2d(4)).train()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    lower_module(module, (torch.zeros(IMAGE),))
    assert module.training
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_shared_modules_are_folded_where_each_stands() -> None:
    lowered = lower_module(shake(Net(shared, conv(), nn.BatchNorm2d(4))), (torch.zeros(IMAGE),))
    assert operators(lowered.module) == {"conv2d": 3, "relu": 2}  # the last affine has nothing behind it to go into
