"""Counts: layers counted by hand, and table 2 of the paper to the digit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from onenet.models import REGISTRY
from onenet.models.counts import count, count_registered

LAYERS = {
    "convolution": (nn.Conv2d(3, 8, 3, padding=1), (1, 3, 5, 7), 2 * 3 * 9 * 8 * 35),
    "grouped": (nn.Conv2d(4, 8, 3, groups=4, bias=False), (1, 4, 6, 6), 2 * 9 * 8 * 16),
    "1D": (nn.Conv1d(1, 4, 3, stride=3), (1, 1, 12), 2 * 3 * 4 * 4),
    "transposed": (nn.ConvTranspose2d(6, 4, 2, stride=2), (1, 6, 3, 3), 2 * 6 * 4 * 36),
    "transposed, groups": (nn.ConvTranspose2d(6, 4, 2, stride=2, groups=2), (1, 6, 3, 3), 2 * 3 * 4 * 36),
    "linear": (nn.Linear(5, 7), (1, 5), 2 * 5 * 7),
    "norm": (nn.BatchNorm2d(3), (1, 3, 4, 4), 0),
}


@pytest.mark.parametrize("name", LAYERS)
def test_multiplications_by_hand(name: str) -> None:
    layer, shape, expected = LAYERS[name]
    with torch.no_grad():
        result = layer.eval()(torch.zeros(shape))
    found = count(layer, torch.zeros(shape))
    assert found.flops == expected
    assert found.activation_bytes == 4 * result.numel()
    assert found.parameters == sum(p.numel() for p in layer.parameters()) == found.parameter_bytes / 4


def test_what_never_runs_is_no_part_of_an_inference() -> None:
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(2, 3), nn.Linear(2, 30)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.used(x)
            return result

    found = count(Heads(), torch.zeros(1, 2))
    assert (found.parameters, found.parameter_bytes) == (9 + 90, 4 * 9)


@pytest.mark.parametrize("name", [name for name, card in REGISTRY.items() if card.published])
def test_table_2(name: str) -> None:
    published = REGISTRY[name].published
    assert published is not None
    found = count_registered(REGISTRY[name])
    assert found.parameter_bytes / 1e6 == pytest.approx(published.parameter_mb, abs=0.006)
    own = (found.parameters / 1e6, found.table_flops / 1e9, found.table_bytes / 1e6)
    theirs = (published.parameters, published.gflops, published.memory_mb)
    differing = [a for a, b in zip(own, theirs, strict=True) if abs(a / b - 1) > 1e-3]
    assert bool(differing) == bool(published.note), (own, theirs)
