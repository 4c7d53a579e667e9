"""The generator of pix2pix (arXiv 1611.07004): k4s2p1 convolutions down and transposed ones up, leaky ReLU, tanh."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Generator(nn.Module):
    def __init__(self, width: int = 16, levels: int = 5) -> None:
        super().__init__()
        sizes = [min(width * 2**level, 8 * width) for level in range(levels)]
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        for level, size in enumerate(sizes):
            source = 3 if level == 0 else sizes[level - 1]
            norm = [nn.BatchNorm2d(size)] if 0 < level < levels - 1 else []
            self.down.append(nn.Sequential(*([nn.LeakyReLU(0.2)] if level else []), nn.Conv2d(source, size, 4, 2, 1), *norm))
            target = 3 if level == 0 else sizes[level - 1]
            inner = size if level == levels - 1 else 2 * size
            last: list[nn.Module] = [nn.Tanh()] if level == 0 else [nn.BatchNorm2d(target), nn.Dropout(0.5)]
            self.up.append(nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(inner, target, 4, 2, 1), *last))

    def forward(self, image: Tensor) -> Tensor:
        kept, value = [], image
        for down in self.down:
            value = down(value)
            kept.append(value)
        for level in reversed(range(len(self.up))):
            value = self.up[level](value if level == len(self.up) - 1 else torch.cat((value, kept[level]), 1))
        return value


def make() -> nn.Module:
    return Generator()
