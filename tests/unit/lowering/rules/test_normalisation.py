from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from onenet.lowering import lower_module
from tests.unit.lowering.graphs import Function, alone, operators


@pytest.mark.parametrize("mean", [0.5, torch.tensor([0.4, 0.5, 0.6]).reshape(3, 1, 1), torch.rand(1, 3, 1, 1)])
def test_by_number_or_per_channel(mean: float | Tensor) -> None:
    class Normalised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)
            self.register_buffer("mean", torch.as_tensor(mean), persistent=False)

        def forward(self, x: Tensor) -> Tensor:
            m = mean if isinstance(mean, float) else self.mean
            return self.conv((x - m) / 0.225 * 2 + 1)  # type: ignore[no-any-return]

    trial = alone("normalisation", Normalised(), (1, 3, 4, 4))
    assert trial.result.applied == 4
    assert trial.operators == {"channel_affine": 4, "conv2d": 1}
    form = lower_module(Normalised(), (torch.zeros(1, 3, 4, 4),))
    assert operators(form.module) == {"conv2d": 1}


def test_a_number_minus_the_input() -> None:
    trial = alone("normalisation", Function(lambda x: 0.75 - x), (1, 3, 4, 4))
    assert trial.result.applied == 1 and trial.operators == {"channel_affine": 1}
    scaled = alone("normalisation", Function(lambda x: torch.rsub(x, 0.75, alpha=2)), (1, 3, 4, 4))
    assert scaled.left("broadcasts the input or scales the constant")


class Constant(nn.Module):
    """x + constant * alpha."""

    def __init__(self, constant: Tensor, alpha: int = 1) -> None:
        super().__init__()
        self.alpha = alpha
        self.register_buffer("constant", constant)

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, self.constant, alpha=self.alpha)  # type: ignore[arg-type]  # a buffer


@pytest.mark.parametrize(
    "module", [Constant(torch.ones(1, 4, 1, 1), alpha=2), Constant(torch.ones(1, 1, 1, 1, 1))], ids=["scaled", "broadcast"]
)
def test_what_is_no_affine_is_left_with_the_reason(module: nn.Module) -> None:
    assert alone("normalisation", module, (1, 4, 4, 4)).left("broadcasts the input or scales the constant")


def test_constants_that_vary_over_the_image_are_left_alone() -> None:
    module = Constant(torch.rand(4, 4))
    assert alone("normalisation", module, (1, 3, 4, 4)).left()
    assert operators(lower_module(module, (torch.zeros(1, 3, 4, 4),)).module) == {"add": 1}


def test_two_values_of_the_network_are_no_match() -> None:
    assert alone("normalisation", Function(lambda x, y: x + y), (1, 3, 4, 4), (1, 3, 4, 4)).left()


@pytest.mark.parametrize("off", [float("-inf"), -1e9])
def test_a_mask_is_left_alone(off: float) -> None:
    mask = torch.tensor([0.0, off, 0.0, 0.0]).reshape(1, 4, 1, 1)
    assert alone("normalisation", nn.Sequential(Constant(mask), nn.Softmax(1))).left("the constant is a mask")
