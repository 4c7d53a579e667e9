"""BiSeNetV2 (arXiv 2004.02147): a detail and a semantic branch, gather-and-expand layers, guided aggregation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def layer(
    channels_in: int, channels_out: int, kernel: int = 3, stride: int = 1, groups: int = 1, act: bool = True
) -> nn.Sequential:
    convolution = nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out), *([nn.ReLU(inplace=True)] if act else []))


class Stem(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = layer(3, 16, stride=2)
        self.left = nn.Sequential(layer(16, 8, 1), layer(8, 16, stride=2))
        self.right = nn.MaxPool2d(3, 2, 1)
        self.join = layer(32, 16)

    def forward(self, image: Tensor) -> Tensor:
        value = self.first(image)
        return self.join(torch.cat((self.left(value), self.right(value)), 1))


class Expand(nn.Module):
    """Gather-and-expand layer of stride 1 or 2."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        middle = 6 * channels_in
        body = [layer(channels_in, channels_in)]
        if stride == 2:
            body.append(layer(channels_in, middle, stride=2, groups=channels_in, act=False))
            body.append(layer(middle, middle, groups=middle))
        else:
            body.append(layer(channels_in, middle, groups=channels_in))
        self.body = nn.Sequential(*body, layer(middle, channels_out, 1, act=False))
        self.short: nn.Module = nn.Identity()
        if stride == 2:
            self.short = nn.Sequential(
                layer(channels_in, channels_in, stride=2, groups=channels_in, act=False),
                layer(channels_in, channels_out, 1, act=False),
            )

    def forward(self, value: Tensor) -> Tensor:
        return F.relu(self.body(value) + self.short(value))


class Context(nn.Module):
    """The whole image's mean, added everywhere."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.point, self.last = layer(channels, channels, 1), nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, value: Tensor) -> Tensor:
        return self.last(value + self.point(self.norm(value.mean((2, 3), keepdim=True))))


class Aggregate(nn.Module):
    """Bilateral guided aggregation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.detail = nn.Sequential(layer(channels, channels, groups=channels, act=False), nn.Conv2d(channels, channels, 1))
        self.detail_down = nn.Sequential(layer(channels, channels, stride=2, act=False), nn.AvgPool2d(3, 2, 1))
        self.semantic = nn.Sequential(layer(channels, channels, groups=channels, act=False), nn.Conv2d(channels, channels, 1))
        self.semantic_up = layer(channels, channels, act=False)
        self.join = layer(channels, channels, act=False)

    def forward(self, detail: Tensor, semantic: Tensor) -> Tensor:
        size = detail.shape[2:]
        gate = torch.sigmoid(F.interpolate(self.semantic_up(semantic), size=size, mode="bilinear", align_corners=False))
        low = self.detail_down(detail) * torch.sigmoid(self.semantic(semantic))
        return self.join(self.detail(detail) * gate + F.interpolate(low, size=size, mode="bilinear", align_corners=False))


class BiSeNetV2(nn.Module):
    def __init__(self, classes: int = 4, channels: int = 32) -> None:
        super().__init__()
        self.detail = nn.Sequential(
            *(layer(3, 16, stride=2), layer(16, 16), layer(16, 16, stride=2), layer(16, 16)),
            *(layer(16, channels, stride=2), layer(channels, channels)),
        )
        self.semantic = nn.Sequential(
            *(Stem(), Expand(16, 24, 2), Expand(24, 24), Expand(24, 32, 2), Expand(32, channels, 2), Context(channels))
        )
        self.aggregate = Aggregate(channels)
        self.head = nn.Sequential(layer(channels, 64), nn.Dropout(0.1), nn.Conv2d(64, classes, 1))

    def forward(self, image: Tensor) -> Tensor:
        value = self.head(self.aggregate(self.detail(image), self.semantic(image)))
        return F.interpolate(value, size=image.shape[2:], mode="bilinear", align_corners=True)


def make() -> nn.Module:
    return BiSeNetV2()
