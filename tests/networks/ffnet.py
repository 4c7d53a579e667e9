"""FFNet (arXiv 2206.08236): a residual backbone without dilation, an upsampling head, one segmentation head."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def layer(channels_in: int, channels_out: int, kernel: int = 3, stride: int = 1, act: bool = True) -> nn.Sequential:
    convolution = nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out), *([nn.ReLU(inplace=True)] if act else []))


class Basic(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(layer(channels_in, channels_out, 3, stride), layer(channels_out, channels_out, act=False))
        same = stride == 1 and channels_in == channels_out
        self.short = nn.Identity() if same else layer(channels_in, channels_out, 1, stride, act=False)

    def forward(self, value: Tensor) -> Tensor:
        return F.relu(self.body(value) + self.short(value))


class FFNet(nn.Module):
    def __init__(self, classes: int = 4, width: int = 16) -> None:
        super().__init__()
        sizes = [width, 2 * width, 4 * width, 8 * width]
        self.stem = nn.Sequential(layer(3, width, 3, 2), layer(width, width, 3, 2))
        self.stages = nn.ModuleList(
            [
                nn.Sequential(Basic(sizes[max(level - 1, 0)], size, 1 if level == 0 else 2), Basic(size, size))
                for level, size in enumerate(sizes)
            ]
        )
        self.adapt = nn.ModuleList([layer(size, 32, 1) for size in sizes])
        self.smooth = nn.ModuleList([layer(32, 32) for _ in sizes])
        self.head = nn.Sequential(layer(4 * 32, 64), nn.Conv2d(64, classes, 1))

    def forward(self, image: Tensor) -> Tensor:
        value, maps = self.stem(image), []
        for stage in self.stages:
            value = stage(value)
            maps.append(value)
        found, value = [], self.smooth[3](self.adapt[3](maps[3]))
        found.append(value)
        for level in (2, 1, 0):
            value = F.interpolate(value, scale_factor=2, mode="nearest") + self.adapt[level](maps[level])
            value = self.smooth[level](value)
            found.append(value)
        size = found[-1].shape[2:]
        joined = torch.cat([F.interpolate(each, size=size, mode="bilinear", align_corners=False) for each in found], 1)
        return self.head(joined)


def make() -> nn.Module:
    return FFNet()
