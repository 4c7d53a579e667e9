from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.unit.lowering.graphs import Function, Net, alone, calls, in_turn

PLANES = (2, 4, 24)


def recovered(net: nn.ModuleList, x: Tensor) -> Tensor:
    """The layers on planes (N, C, L), then as an image."""
    y = in_turn(net, x)
    return y.reshape(y.shape[0], y.shape[1], 4, 6)


def test_moves_up_through_every_pointwise_layer() -> None:
    module = Net(recovered, nn.Conv1d(4, 5, 1), nn.ReLU(), nn.BatchNorm1d(5), nn.Conv1d(5, 3, 1, bias=False))
    trial = alone("pointwise_image", module, PLANES, behind=["batch_norm"])
    assert trial.result.applied == 4
    assert trial.operators == {"reshape": 1, "conv2d": 2, "relu": 1, "channel_affine": 1}
    assert calls(trial.module)[0] == "reshape"


def test_stops_below_what_is_not_pointwise() -> None:
    trial = alone("pointwise_image", Net(recovered, nn.Conv1d(4, 5, 3, padding=1), nn.ReLU()), PLANES)
    assert (trial.result.applied, trial.result.declined) == (1, {})
    assert calls(trial.module) == ["conv1d", "reshape", "relu"]


@pytest.mark.parametrize(
    "module",
    [
        Net(recovered, nn.Conv1d(4, 5, 3, padding=1)),
        Net(recovered, nn.Conv1d(4, 4, 1, groups=2)),
        Net(recovered, nn.Sigmoid()),
        Net(lambda net, x: in_turn(net, x).reshape(2, 2, 8, 6), nn.ReLU()),
    ],
    ids=["wide", "grouped", "another function", "other channels"],
)
def test_no_match(module: nn.Module) -> None:
    assert alone("pointwise_image", module, PLANES).left()


def used_twice(net: nn.ModuleList, x: Tensor) -> Tensor:
    y = F.relu(x)
    return recovered(net, y) + y.mean()


def test_planes_that_are_read_in_another_shape_stay() -> None:
    assert alone("pointwise_image", Net(used_twice), PLANES).left("the planes are used in another shape as well")


def test_a_computed_weight_stays() -> None:
    module = Function(lambda x, weight: torch.conv1d(x, weight).reshape(2, 3, 4, 6))
    assert alone("pointwise_image", module, PLANES, (3, 4, 1)).left("the convolution's weight is computed")


def test_two_heads_each_move_up() -> None:
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv1d(4, 5, 1), nn.Conv1d(4, 5, 1)

        def forward(self, x: Tensor) -> Tensor:
            a, b = (F.relu(layer(x)).reshape(2, 5, 4, 6) for layer in (self.a, self.b))
            return a + b

    trial = alone("pointwise_image", Heads(), PLANES)
    assert (trial.result.applied, trial.result.declined) == (4, {})
    assert trial.operators == {"reshape": 2, "conv2d": 2, "relu": 2, "add": 1}
