"""Fast-SCNN (arXiv 1902.04502): learning to downsample, bottlenecks, pyramid pooling, feature fusion."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def layer(
    channels_in: int, channels_out: int, kernel: int = 3, stride: int = 1, groups: int = 1, act: bool = True
) -> nn.Sequential:
    convolution = nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out), *([nn.ReLU(inplace=True)] if act else []))


def separable(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(layer(channels_in, channels_in, 3, stride, channels_in), layer(channels_in, channels_out, 1))


class Bottleneck(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        middle = 6 * channels_in
        self.residual = stride == 1 and channels_in == channels_out
        self.body = nn.Sequential(
            layer(channels_in, middle, 1), layer(middle, middle, 3, stride, middle), layer(middle, channels_out, 1, act=False)
        )

    def forward(self, value: Tensor) -> Tensor:
        return value + self.body(value) if self.residual else self.body(value)


class PyramidPooling(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bins = (1, 2, 3, 6)
        self.layers = nn.ModuleList([layer(channels, channels // 4, 1) for _ in self.bins])
        self.join = layer(2 * channels, channels, 1)

    def forward(self, value: Tensor) -> Tensor:
        size = value.shape[2:]
        pooled = [each(F.adaptive_avg_pool2d(value, bins)) for bins, each in zip(self.bins, self.layers, strict=True)]
        return self.join(torch.cat([value, *(F.interpolate(p, size, mode="bilinear", align_corners=True) for p in pooled)], 1))


class FastSCNN(nn.Module):
    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.down = nn.Sequential(layer(3, 16, stride=2), separable(16, 24, 2), separable(24, 32, 2))
        self.context = nn.Sequential(
            *(Bottleneck(32, 32, 2), Bottleneck(32, 32, 1), Bottleneck(32, 48, 2), Bottleneck(48, 64, 1), PyramidPooling(64))
        )
        self.deep = nn.Sequential(layer(64, 64, 3, groups=64), nn.Conv2d(64, 64, 1), nn.BatchNorm2d(64))
        self.shallow = nn.Sequential(nn.Conv2d(32, 64, 1), nn.BatchNorm2d(64))
        self.head = nn.Sequential(separable(64, 64), nn.Dropout(0.1), nn.Conv2d(64, classes, 1))

    def forward(self, image: Tensor) -> Tensor:
        shallow = self.down(image)
        deep = F.interpolate(self.context(shallow), scale_factor=4, mode="bilinear", align_corners=True)
        value = self.head(F.relu(self.shallow(shallow) + self.deep(deep)))
        return F.interpolate(value, size=image.shape[2:], mode="bilinear", align_corners=True)


def make() -> nn.Module:
    return FastSCNN()
