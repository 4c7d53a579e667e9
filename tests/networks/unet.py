"""U-Net (arXiv 1505.04597) in its usual form of today: padded convolutions with BatchNorm, transposed convolutions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def double(channels_in: int, channels_out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for source in (channels_in, channels_out):
        layers += [
            nn.Conv2d(source, channels_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    def __init__(self, classes: int = 2, width: int = 16, levels: int = 4) -> None:
        super().__init__()
        sizes = [width * 2**level for level in range(levels)]
        self.down = nn.ModuleList([double(3 if level == 0 else sizes[level - 1], size) for level, size in enumerate(sizes)])
        self.up = nn.ModuleList([nn.ConvTranspose2d(2 * size, size, 2, 2) for size in sizes[:-1]])
        self.join = nn.ModuleList([double(2 * size, size) for size in sizes[:-1]])
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        kept, value = [], image
        for level, stage in enumerate(self.down):
            value = stage(F.max_pool2d(value, 2) if level else value)
            kept.append(value)
        for level in reversed(range(len(self.up))):
            value = self.up[level](value)
            high, wide = (k - v for k, v in zip(kept[level].shape[2:], value.shape[2:], strict=True))
            value = F.pad(value, [wide // 2, wide - wide // 2, high // 2, high - high // 2])
            value = self.join[level](torch.cat((kept[level], value), 1))
        return self.head(value)


def make() -> nn.Module:
    return UNet()
