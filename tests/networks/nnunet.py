"""The plain 2D U-Net of nnU-Net (doi 10.1038/s41592-020-01008-z): instance norm, leaky ReLU, strided convolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def layer(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(channels_in, channels_out, 3, stride, 1)
    return nn.Sequential(convolution, nn.InstanceNorm2d(channels_out, affine=True), nn.LeakyReLU(0.01, inplace=True))


class PlainUNet(nn.Module):
    def __init__(self, classes: int = 4, width: int = 16, levels: int = 4) -> None:
        super().__init__()
        sizes = [width * 2**level for level in range(levels)]
        self.down = nn.ModuleList(
            [
                nn.Sequential(layer(3 if level == 0 else sizes[level - 1], size, 1 if level == 0 else 2), layer(size, size))
                for level, size in enumerate(sizes)
            ]
        )
        self.up = nn.ModuleList([nn.ConvTranspose2d(2 * size, size, 2, 2) for size in sizes[:-1]])
        self.join = nn.ModuleList([nn.Sequential(layer(2 * size, size), layer(size, size)) for size in sizes[:-1]])
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        kept, value = [], image
        for stage in self.down:
            value = stage(value)
            kept.append(value)
        for level in reversed(range(len(self.up))):
            value = self.join[level](torch.cat((self.up[level](value), kept[level]), 1))
        return self.head(value)


def make() -> nn.Module:
    return PlainUNet()
