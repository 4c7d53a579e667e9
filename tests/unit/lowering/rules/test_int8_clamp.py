from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from onenet.lowering.graph import Graph
from tests.unit.lowering.graphs import IMAGE, Trial, run_on
from tests.unit.lowering.rules.stored import stored


class Layer(nn.Module):
    """A convolution whose results reach from -8 to 8, and what is behind it."""

    def __init__(self, behind: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.behind = nn.Conv2d(IMAGE[1], 4, 1), behind
        with torch.no_grad():
            self.layer.weight.mul_(16)

    def forward(self, x: Tensor) -> Tensor:
        return self.behind(self.layer(x))


def clamped(behind: Callable[[Tensor], Tensor]) -> Trial:
    image = torch.randn(IMAGE, generator=torch.Generator().manual_seed(0))
    program = torch.export.export(Layer(behind), (image,))
    return run_on(Graph.of(program.module(check_guards=False)), "int8_clamp", [image])


@pytest.mark.parametrize(
    "behind",
    [
        lambda x: stored(F.relu6(x), 6 / 255, -128),
        lambda x: stored(F.relu6(x), 4.5 / 255, -128),
        lambda x: stored(F.hardtanh(x), 1.9 / 255, 0),
        lambda x: stored(x.clamp(max=2.0), 10 / 255, 76),
        lambda x: stored(x.clamp(0, 1), 1 / 255, -128),
    ],
    ids=["ReLU6", "ReLU6 that nothing reached", "hardtanh", "one end", "clamp"],
)
def test_a_clamp_at_the_ends_of_the_range_goes(behind: Callable[[Tensor], Tensor]) -> None:
    trial = clamped(behind)
    assert trial.result.applied == 1
    assert sum((trial.before - trial.operators).values()) == 1
    assert not trial.operators - trial.before


@pytest.mark.parametrize(
    "behind",
    [
        lambda x: stored(F.relu6(x), 9 / 255, -128),
        lambda x: stored(F.relu6(x), 12 / 255, 0),
        lambda x: stored(x.clamp(max=2.0), 10 / 255, 75),
        lambda x: stored(F.hardtanh(x), 2 / 255, 0),
        lambda x: stored(x.clamp(-0.5, 1.5), 3 / 255, -77),
    ],
    ids=["wider", "wider on both sides", "one step", "half a step", "clamp"],
)
def test_one_within_the_range_comes_behind_it(behind: Callable[[Tensor], Tensor]) -> None:
    trial = clamped(behind)
    assert trial.result.applied == 1
    assert trial.operators - trial.before == {"quantize_per_tensor": 1, "dequantize_per_tensor": 1}
    assert not trial.before - trial.operators


@pytest.mark.parametrize(
    "behind",
    [
        lambda x: stored(x.relu(), 6 / 255, -128),
        lambda x: stored(F.relu6(stored(x, 0.1, 0)), 6 / 255, -128),
        F.relu6,
        lambda x: (lambda y: stored(y, 6 / 255, -128) + y)(F.relu6(x)),
    ],
    ids=["ReLU", "of int8 already", "in float", "read in float too"],
)
def test_any_other_stays(behind: Callable[[Tensor], Tensor]) -> None:
    assert clamped(behind).left()
