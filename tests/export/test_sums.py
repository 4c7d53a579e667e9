"""Sums of activated sums: coremltools changes the scales around them, and a right file is not refused for that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import onenet
from tests.conftest import enliven, smooth_images

SIDE = 32


class Sums(nn.Module):
    """Two branches joined, activated and joined again with a third, as residual blocks and channel-wise max-pools are."""

    def __init__(self, join: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.join = nn.Conv2d(3, 16, 3, padding=1), join
        self.branches = nn.ModuleList(nn.Conv2d(16, 16, 3, padding=1) for _ in range(3))
        self.last = nn.Conv2d(16, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.first(image).relu()
        a, b, c = (branch(x) for branch in self.branches)
        return self.last(c + self.join(a, b).relu())


JOINS = {"sum": torch.add, "difference": torch.sub}


@pytest.mark.parametrize("join", JOINS)
@pytest.mark.parametrize("target", ["coreml", "tflite", "onnx"])
def test_a_sum_of_an_activated_sum_is_checked_by_its_own_scale(target: str, join: str, tmp_path: Path) -> None:
    images = smooth_images(6, 3, SIDE, SIDE)
    torch.manual_seed(0)
    net = enliven(Sums(JOINS[join]), torch.from_numpy(images)).eval()
    quantized = onenet.calibrate(onenet.lower(onenet.build(net, input_size=(SIDE, SIDE))), list(np.asarray(images)))
    made = onenet.export(quantized, target=target, out=tmp_path)
    assert made.verification is not None and made.verification.passed
    assert "layers" in [check.name for check in made.verification.checks]
