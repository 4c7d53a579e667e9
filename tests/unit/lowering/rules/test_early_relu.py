from __future__ import annotations

import pytest
import torch.nn.functional as F
from torch import Tensor, nn

from tests.unit.lowering.graphs import Net, alone, calls, lowered


@pytest.mark.parametrize("act", [nn.ReLU(), nn.ReLU6(), nn.Hardtanh(-1, 3)], ids=["relu", "relu6", "hardtanh"])
def test_it_goes_in_front_of_the_moves(act: nn.Module) -> None:
    trial = alone("early_relu", nn.Sequential(nn.Conv2d(4, 8, 3), nn.PixelShuffle(2), act), (2, 4, 6, 6))
    assert (trial.result.applied, calls(trial.module)[0], calls(trial.module)[-1]) == (1, "conv2d", "pixel_shuffle")
    assert len(calls(trial.module)) == 3


def test_behind_a_transposed_convolution_and_its_norm() -> None:
    net = nn.Sequential(nn.ConvTranspose2d(4, 8, 4, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 3, 1))
    assert calls(lowered(net, (1, 4, 6, 6)).module) == ["conv2d", "relu", "pixel_shuffle", "slice", "slice", "conv2d"]


def test_behind_a_linear_layer_and_a_reshape() -> None:
    net = Net(lambda layers, x: F.relu(layers[0](x).reshape(3, 2, 4)), nn.Linear(6, 8))
    trial = alone("early_relu", net, (3, 6))
    assert trial.result.applied == 1
    assert calls(trial.module)[:2] == ["linear", "relu"]


@pytest.mark.parametrize("read", ["layer", "moved"])
def test_what_is_read_before_it_too_stays(read: str) -> None:
    def forward(layers: nn.ModuleList, x: Tensor) -> Tensor:
        layer = layers[0](x)
        moved = F.pixel_shuffle(layer, 2)
        return F.relu(moved) + (layer.mean() if read == "layer" else moved * 2)

    trial = alone("early_relu", Net(forward, nn.Conv2d(4, 8, 3)), (1, 4, 6, 6))
    assert trial.left("what is in front of it is read elsewhere as well")


def test_others_stay() -> None:
    trial = alone("early_relu", nn.Sequential(nn.Conv2d(4, 8, 3), nn.PixelShuffle(2), nn.LeakyReLU()), (1, 4, 6, 6))
    assert trial.result.applied == 0
