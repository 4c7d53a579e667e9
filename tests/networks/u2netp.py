"""U²-Net, small form (arXiv 2005.09007): U-shaped blocks inside a U, pooling that rounds up, seven maps as output."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MIDDLE, OUT = 16, 64


def layer(channels_in: int, channels_out: int, dilation: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(channels_in, channels_out, 3, padding=dilation, dilation=dilation)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out), nn.ReLU(inplace=True))


def like(value: Tensor, other: Tensor) -> Tensor:
    return F.interpolate(value, size=other.shape[2:], mode="bilinear", align_corners=False)


class Block(nn.Module):
    """RSU-L: an encoder and decoder of ``depth`` levels around a residual."""

    def __init__(self, depth: int, channels_in: int) -> None:
        super().__init__()
        self.first = layer(channels_in, OUT)
        self.down = nn.ModuleList([layer(OUT if level == 0 else MIDDLE, MIDDLE) for level in range(depth - 1)])
        self.bottom = layer(MIDDLE, MIDDLE, dilation=2)
        self.up = nn.ModuleList([layer(2 * MIDDLE, OUT if level == 0 else MIDDLE) for level in range(depth - 1)])
        self.pool = nn.MaxPool2d(2, stride=2, ceil_mode=True)

    def forward(self, value: Tensor) -> Tensor:
        first = value = self.first(value)
        kept = []
        for level, down in enumerate(self.down):
            value = down(self.pool(value) if level else value)
            kept.append(value)
        value = self.bottom(value)
        for level in reversed(range(len(self.up))):
            value = self.up[level](torch.cat((like(value, kept[level]), kept[level]), 1))
        return value + first


class Dilated(nn.Module):
    """RSU-4F: dilation instead of pooling."""

    def __init__(self, channels_in: int) -> None:
        super().__init__()
        self.first = layer(channels_in, OUT)
        self.down = nn.ModuleList([layer(OUT, MIDDLE), layer(MIDDLE, MIDDLE, 2), layer(MIDDLE, MIDDLE, 4)])
        self.bottom = layer(MIDDLE, MIDDLE, 8)
        self.up = nn.ModuleList([layer(2 * MIDDLE, OUT), layer(2 * MIDDLE, MIDDLE, 2), layer(2 * MIDDLE, MIDDLE, 4)])

    def forward(self, value: Tensor) -> Tensor:
        first = value = self.first(value)
        kept = []
        for down in self.down:
            value = down(value)
            kept.append(value)
        value = self.bottom(value)
        for level in reversed(range(3)):
            value = self.up[level](torch.cat((value, kept[level]), 1))
        return value + first


class U2Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleList([Block(7, 3), Block(6, OUT), Block(5, OUT), Block(4, OUT), Dilated(OUT), Dilated(OUT)])
        self.decoder = nn.ModuleList(
            [Block(7, 2 * OUT), Block(6, 2 * OUT), Block(5, 2 * OUT), Block(4, 2 * OUT), Dilated(2 * OUT)]
        )
        self.sides = nn.ModuleList([nn.Conv2d(OUT, 1, 3, padding=1) for _ in range(6)])
        self.join = nn.Conv2d(6, 1, 1)
        self.pool = nn.MaxPool2d(2, stride=2, ceil_mode=True)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        kept, value = [], image
        for level, stage in enumerate(self.encoder):
            value = stage(self.pool(value) if level else value)
            kept.append(value)
        maps = [value]
        for level in reversed(range(5)):
            value = self.decoder[level](torch.cat((like(value, kept[level]), kept[level]), 1))
            maps.insert(0, value)
        first = self.sides[0](maps[0])
        sides = [first, *(like(side(each), first) for side, each in zip(self.sides[1:], maps[1:], strict=True))]
        return tuple(torch.sigmoid(each) for each in (self.join(torch.cat(sides, 1)), *sides))


def make() -> nn.Module:
    return U2Net()
