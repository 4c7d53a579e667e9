"""PIDNet, small (arXiv 2206.02066): three branches, pixel attention between them, parallel pyramid pooling."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def layer(channels_in: int, channels_out: int, kernel: int = 3, stride: int = 1, act: bool = True) -> nn.Sequential:
    convolution = nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out), *([nn.ReLU(inplace=True)] if act else []))


def like(value: Tensor, other: Tensor) -> Tensor:
    return F.interpolate(value, size=other.shape[2:], mode="bilinear", align_corners=False)


class Basic(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(layer(channels_in, channels_out, stride=stride), layer(channels_out, channels_out, act=False))
        same = stride == 1 and channels_in == channels_out
        self.short = nn.Identity() if same else layer(channels_in, channels_out, 1, stride, act=False)

    def forward(self, value: Tensor) -> Tensor:
        return F.relu(self.body(value) + self.short(value))


class Attention(nn.Module):
    """Pag: the semantic branch is taken where both agree."""

    def __init__(self, channels: int, middle: int) -> None:
        super().__init__()
        self.first, self.second = (layer(channels, middle, 1, act=False) for _ in range(2))

    def forward(self, value: Tensor, other: Tensor) -> Tensor:
        agreement = torch.sum(self.first(value) * like(self.second(other), value), dim=1, keepdim=True)
        share = torch.sigmoid(agreement)
        return (1 - share) * value + share * like(other, value)


class Pyramid(nn.Module):
    """PAPPM: pooling at several strides and of everything."""

    def __init__(self, channels_in: int, middle: int, channels_out: int) -> None:
        super().__init__()
        self.strides = ((5, 2), (9, 4), (17, 8))
        self.scales = nn.ModuleList([self.piece(channels_in, middle) for _ in range(len(self.strides) + 1)])
        self.first = self.piece(channels_in, middle)
        self.join = nn.Sequential(
            *(nn.BatchNorm2d(4 * middle), nn.ReLU(), nn.Conv2d(4 * middle, 4 * middle, 3, padding=1, groups=4, bias=False))
        )
        self.last, self.short = self.piece(5 * middle, channels_out), self.piece(channels_in, channels_out)

    @staticmethod
    def piece(channels_in: int, channels_out: int) -> nn.Sequential:
        return nn.Sequential(nn.BatchNorm2d(channels_in), nn.ReLU(), nn.Conv2d(channels_in, channels_out, 1, bias=False))

    def forward(self, value: Tensor) -> Tensor:
        first = self.first(value)
        pooled = [F.avg_pool2d(value, kernel, stride, kernel // 2) for kernel, stride in self.strides]
        pooled.append(F.adaptive_avg_pool2d(value, 1))
        scales = [like(scale(each), value) + first for scale, each in zip(self.scales, pooled, strict=True)]
        return self.last(torch.cat((first, self.join(torch.cat(scales, 1))), 1)) + self.short(value)


class PIDNet(nn.Module):
    def __init__(self, classes: int = 4, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Sequential(layer(3, width, stride=2), layer(width, width, stride=2), Basic(width, width))
        self.third = Basic(width, 2 * width, 2)
        self.fourth, self.fifth = Basic(2 * width, 4 * width, 2), Basic(4 * width, 8 * width, 2)
        self.detail = nn.ModuleList([Basic(2 * width, 2 * width) for _ in range(2)])
        self.boundary = nn.ModuleList([Basic(2 * width, width), Basic(width, 2 * width)])
        self.squeeze = nn.ModuleList([layer(4 * width, 2 * width, 1, act=False), layer(8 * width, 2 * width, 1, act=False)])
        self.guides = nn.ModuleList([layer(4 * width, width, act=False), layer(8 * width, 2 * width, act=False)])
        self.attention = nn.ModuleList([Attention(2 * width, width) for _ in range(2)])
        self.pyramid = Pyramid(8 * width, width, 2 * width)
        self.mix = nn.ModuleList([layer(2 * width, 2 * width, 1, act=False) for _ in range(2)])
        self.head = nn.Sequential(layer(2 * width, 2 * width), nn.Conv2d(2 * width, classes, 1))
        self.edge = nn.Conv2d(2 * width, 1, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        value = self.third(self.stem(image))
        detail, boundary = self.detail[0](value), self.boundary[0](value)
        deep = self.fourth(value)
        detail = self.attention[0](detail, self.squeeze[0](deep))
        boundary = boundary + like(self.guides[0](deep), boundary)
        detail, boundary = self.detail[1](F.relu(detail)), self.boundary[1](F.relu(boundary))
        deep = self.fifth(deep)
        detail = self.attention[1](detail, self.squeeze[1](deep))
        boundary = boundary + like(self.guides[1](deep), boundary)
        context = like(self.pyramid(deep), detail)
        share = torch.sigmoid(boundary)
        value = self.mix[0]((1 - share) * context + detail) + self.mix[1](context + share * detail)
        return like(self.head(value), image), like(self.edge(boundary), image)


def make() -> nn.Module:
    return PIDNet()
