"""Sums over thousands of values: runtimes add them in another order than PyTorch, and lose more. Their files are right."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import onenet
from onenet.base.quiet import quiet
from onenet.targets import suffixes
from tests.shared import few

SIDE = 128
MIDDLES: dict[str, Callable[[], nn.Module | Callable[[Tensor], Tensor]]] = {
    "variance": lambda: lambda x: x * torch.rsqrt(x.float().var((2, 3), keepdim=True) + 1e-5),
    "deviation": lambda: lambda x: (x - x.mean((2, 3), keepdim=True)) / (x.std((2, 3), keepdim=True) + 0.01),
    "group norm": lambda: nn.GroupNorm(2, 8),
    "instance norm": lambda: nn.InstanceNorm2d(8, affine=True),
    "layer norm": lambda: nn.LayerNorm([8, SIDE, SIDE]),
    "mean": lambda: lambda x: x * x.mean((2, 3), keepdim=True),
}


class Net(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.middle, self.last = nn.Conv2d(3, 8, 3, padding=1), MIDDLES[name](), nn.Conv2d(8, 4, 1)

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.last(self.middle(self.first(image).relu()))
        return result


@pytest.mark.parametrize(("name", "target"), few(itertools.product(MIDDLES, suffixes()), 4))
def test_a_float_file_is_not_refused_for_the_order_of_its_sums(name: str, target: str, tmp_path: Path) -> None:
    with quiet():
        made = onenet.export(onenet.build(lambda: Net(name), input_size=(SIDE, SIDE)), target=target, out=tmp_path)
    assert made.verification is not None and made.verification.passed
