"""The compact network of Real-ESRGAN (arXiv 2107.10833): PReLU convolutions, a pixel shuffle, and the enlarged input added."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class SRVGG(nn.Module):
    def __init__(self, width: int = 32, depth: int = 6, scale: int = 2) -> None:
        super().__init__()
        self.scale = scale
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.PReLU(width)]
        for _ in range(depth):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.PReLU(width)]
        self.body = nn.Sequential(*layers, nn.Conv2d(width, 3 * scale**2, 3, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        return F.pixel_shuffle(self.body(image), self.scale) + F.interpolate(image, scale_factor=self.scale, mode="nearest")


def make() -> nn.Module:
    return SRVGG()
