"""Operators that converters refuse or convert wrongly, rewritten exactly: the files' values."""

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


class Ended(nn.Module):
    """A convolution, what is tested, and another convolution."""

    def __init__(self, middle: nn.Module | Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.middle, self.last = nn.Conv2d(3, 8, 3, padding=1), middle, nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.last(self.middle(torch.relu(self.first(x))))
        return result


def enlarged(x: Tensor) -> Tensor:
    """By a fraction, by half places, and by a factor that is not the ratio of the sizes."""
    x = F.interpolate(F.interpolate(x, size=(21, 31)), size=(30, 40), mode="nearest-exact")
    return F.interpolate(x, scale_factor=1.3, mode="bilinear")


def smoothed(x: Tensor) -> Tensor:
    """Bicubic up, antialiased down, bilinear between the corners."""
    x = F.interpolate(x, scale_factor=2, mode="bicubic")
    x = F.interpolate(x, scale_factor=0.4, mode="bilinear", antialias=True)
    return F.interpolate(x, size=SIZE, mode="bilinear", align_corners=True)


MIDDLES: dict[str, nn.Module | Callable[[Tensor], Tensor]] = {
    "k3 s2 p1 o1": nn.ConvTranspose2d(8, 8, 3, 2, 1, 1),
    "k4 s2 p1 o1, groups": nn.ConvTranspose2d(8, 8, 4, 2, 1, 1, groups=2),
    "k2 s2 o1, each axis its own": nn.ConvTranspose2d(8, 8, (2, 3), 2, (0, 1), (1, 0)),
    "dilated": nn.ConvTranspose2d(8, 8, 3, 2, 1, 1, dilation=2),
    "stride 1": nn.ConvTranspose2d(8, 8, 3, 1, 1, dilation=2),
    "enlarged": enlarged,
    "smoothed": smoothed,
    "pooled without a stride": lambda x: F.max_pool2d(x, 2) + F.avg_pool2d(x, 2),
    "cropped, around": lambda x: F.pad(F.pad(x, (-1, -2, 0, -3)), (2, 1, 1, 0), mode="circular"),
    "log sigmoid": F.logsigmoid,
}


CASES = list(itertools.product(MIDDLES, ("tflite", "coreml"), ("fp32", "int8")))


@pytest.mark.parametrize(("middle", "target", "precision"), few(CASES, 3))
def test_the_file_computes_it(middle: str, target: str, precision: str, tmp_path: Path) -> None:
    check(Ended(MIDDLES[middle]), target, precision, tmp_path)
