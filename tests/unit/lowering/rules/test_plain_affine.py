from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.unit.lowering.graphs import Function, alone, lowered, operators, stack

BEFORE = ["normalisation"]
GAIN = torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(4, 1, 1)


class Times(nn.Module):
    """x * gain, by a buffer."""

    def __init__(self, gain: Tensor) -> None:
        super().__init__()
        self.register_buffer("gain", gain)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gain  # type: ignore[operator]  # a buffer


@pytest.mark.parametrize(("target", "left"), [("mul", "mul"), ("div", "mul"), ("add", "add"), ("sub", "add")])
def test_a_number_stays_one_operator(target: str, left: str) -> None:
    trial = alone("plain_affine", Function(lambda x: getattr(torch, target)(x, 3)), behind=BEFORE)
    assert trial.operators == {left: 1}
    (node,) = [each for each in trial.module.graph.nodes if each.op == "call_function"]
    assert isinstance(node.args[1], float)


@pytest.mark.parametrize(("target", "neutral"), [("mul", 1), ("div", 1), ("add", 0), ("sub", 0)])
def test_what_changes_nothing_disappears(target: str, neutral: int) -> None:
    trial = alone("plain_affine", Function(lambda x: getattr(torch, target)(x, neutral).relu()), behind=BEFORE)
    assert (trial.result.applied, trial.operators) == (1, {"relu": 1})


def test_channels_that_differ_keep_a_constant() -> None:
    trial = alone("plain_affine", Times(GAIN), behind=BEFORE)
    assert trial.operators == {"mul": 1}


@pytest.mark.parametrize("shape", [(1, 4, 8, 8), (1, 16, 8), (2, 4, 3, 3, 3)])
def test_a_number_never_becomes_a_convolution(shape: tuple[int, ...]) -> None:
    """Not of an image, not of tokens, whose axis 1 would make a convolution of as many channels, not of a volume."""
    found = lowered(Function(lambda x: torch.softmax(x * 0.35, -1)), shape)
    assert operators(found.module) == {"mul": 1, "softmax": 1}


def test_a_scale_before_a_relu_is_gone_when_its_layer_took_it() -> None:
    class Half(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 0.5

    found = lowered(stack(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), Half(), nn.MaxPool2d(2)))
    assert operators(found.module) == {"conv2d": 1, "relu": 1, "max_pool2d": 1}
