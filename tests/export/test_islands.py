"""Float operators, values that move and scales that change inside int8 networks: each file is as good as the simulation."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.export.fidelity import SIZE, check
from tests.shared import few


class Between(nn.Module):
    """A function between two layers, the second of which reads whatever channels it gives."""

    def __init__(self, function: Callable[[Tensor], Tensor], last: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.function = nn.Conv2d(3, 8, 3, padding=1), function
        channels = function(torch.zeros(1, 8, *SIZE)).shape[1]
        self.head = nn.Identity() if last else nn.Conv2d(channels, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.function(self.first(x)))
        return result


def turned(x: Tensor) -> Tensor:
    """Parts in another order, each with its rows and columns exchanged and back."""
    a, b = x.split([3, 5], 1)
    return torch.cat([b.reshape(1, 5, *SIZE[::-1]).reshape(1, 5, *SIZE), a], 1)


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid joined": lambda x: torch.cat([x.sigmoid(), x * 3], 1),
    "softmax joined after a move": lambda x: torch.cat([x, x.softmax(1).flip(3)], 1),
    "split and reshaped": turned,
    "stacked and padded": lambda x: F.pad(torch.stack(x.chunk(2, 1), 2).flatten(1, 2), (1, 0, 0, 1)),
    "softplus": lambda x: F.softplus(4 * x),
    "where": lambda x: torch.where(x > 0.1, x, -3.0),
    "clamped beyond the range": lambda x: x.clamp(min=1.0),
    "clamped on both sides": lambda x: x.clamp(-0.2, 0.3),
    "clamped, joined with what is larger": lambda x: torch.cat([F.relu6(x), 20 * x], 1),
    "largest and mean": lambda x: x * x.amax(1, keepdim=True) + x.abs(),
    "pooled to an odd size": lambda x: x + F.interpolate(F.adaptive_avg_pool2d(x, (3, 5)), size=SIZE),
}


@pytest.mark.parametrize("target", ["tflite", "onnx", "coreml"])
def test_what_is_joined_with_larger_values_keeps_its_own_scale(target: str, tmp_path: Path) -> None:
    check(Between(lambda x: torch.cat([x, 20 * x.relu()], 1), False), target, "int8", tmp_path)


@pytest.mark.parametrize(("name", "last"), few(itertools.product(FUNCTIONS, (False, True)), 3))
def test_tflite_is_as_good_as_the_simulation(name: str, last: bool, tmp_path: Path) -> None:
    check(Between(FUNCTIONS[name], last), "tflite", "int8", tmp_path)
