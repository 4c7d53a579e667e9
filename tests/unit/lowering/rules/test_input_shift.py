from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from onenet.lowering.rules.input_shift import FEW
from tests.unit.lowering.graphs import Function, alone, arranged, lowered, operators

BEFORE = ["normalisation", "fold_forward", "depthwise_affine"]
IMAGE = (2, 3, 6, 10)


class Normalised(nn.Module):
    """(x - mean) / std, and layers behind it."""

    def __init__(self, *layers: nn.Module, mean: Tensor | None = None) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        channels = getattr(layers[0], "in_channels", 3)
        self.register_buffer("mean", torch.rand(channels, 1, 1) if mean is None else mean)
        self.register_buffer("std", torch.rand(channels, 1, 1) + 0.1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers((x - self.mean) / self.std)  # type: ignore[no-any-return, operator]  # buffers


PADDED = {
    "padded": nn.Conv2d(3, 4, 3, padding=1),
    "strided": nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False),
    "dilated": nn.Conv2d(3, 4, 3, dilation=2, padding=2),
    "wide": nn.Conv2d(3, 4, (1, 7), padding=(0, 3)),
}


@pytest.mark.parametrize("target", ["tflite", "onnx"])
@pytest.mark.parametrize("name", PADDED)
def test_before_padding_only_the_mean_is_left(name: str, target: str) -> None:
    module = Normalised(PADDED[name], nn.ReLU())
    assert alone("input_shift", module, IMAGE, behind=BEFORE).operators == {"add": 1, "conv2d": 1, "relu": 1}
    assert operators(arranged(module, IMAGE, target)) == {"add": 1, "conv2d": 1, "relu": 1}


def test_without_padding_nothing_is_left() -> None:
    assert operators(lowered(Normalised(nn.Conv2d(3, 4, 3)), IMAGE).module) == {"conv2d": 1}


def test_a_scale_alone_goes_into_a_padded_convolution() -> None:
    module = Normalised(nn.Conv2d(3, 4, 3, padding=1), mean=torch.zeros(3, 1, 1))
    assert operators(lowered(module, IMAGE).module) == {"conv2d": 1}


class Both(nn.Module):
    """Two layers that read the same; their sum."""

    def __init__(self) -> None:
        super().__init__()
        self.in_channels = 3
        self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 5, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x) + self.b(x)  # type: ignore[no-any-return]


def test_into_every_reader() -> None:
    assert operators(arranged(Normalised(Both()), IMAGE)) == {"add": 2, "conv2d": 2}


def test_weights_that_are_computed_are_no_match() -> None:
    """So are those of a calibrated program: there the convolution keeps the mean in its exact bias."""
    module = Function(lambda x, weight: torch.conv2d(torch.conv2d(x, weight, groups=3), torch.ones(2, 3, 3, 3).double()))
    assert alone("input_shift", module, IMAGE, (3, 1, 1, 1)).left()


def test_left_with_the_reason() -> None:
    grouped = Normalised(nn.Conv2d(3, 3, 3, padding=1, groups=3))
    assert alone("input_shift", grouped, IMAGE, behind=BEFORE).left("followed by a grouped convolution")
    dead = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3, padding=1))  # `alone` gives it a factor of 0
    assert alone("input_shift", dead, IMAGE, behind=["batch_norm", *BEFORE]).left("a channel is multiplied by 0")
    many = Normalised(nn.Conv2d(FEW, 4, 3, padding=1))
    assert alone("input_shift", many, (1, FEW, 6, 10), behind=BEFORE).left()
    inside = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), Normalised(nn.Conv2d(3, 4, 3, padding=1)))
    assert alone("input_shift", inside, IMAGE, behind=BEFORE).left()
