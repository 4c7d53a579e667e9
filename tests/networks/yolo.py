"""A detector of the YOLO family (arXiv 2107.08430 and others): SiLU, split bottlenecks, pyramid pooling, decoded boxes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def layer(channels_in: int, channels_out: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out), nn.SiLU(inplace=True))


class Split(nn.Module):
    """Half of the channels goes through the bottlenecks, everything is joined at the end."""

    def __init__(self, channels_in: int, channels_out: int, residual: bool = True) -> None:
        super().__init__()
        half = channels_out // 2
        self.first = layer(channels_in, channels_out, 1)
        self.body, self.residual = nn.Sequential(layer(half, half), layer(half, half)), residual
        self.last = layer(3 * half, channels_out, 1)

    def forward(self, value: Tensor) -> Tensor:
        kept, half = self.first(value).chunk(2, 1)
        found = self.body(half)
        return self.last(torch.cat((kept, half, half + found if self.residual else found), 1))


class Pooling(nn.Module):
    """SPPF."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.last = layer(channels, channels // 2, 1), layer(2 * channels, channels, 1)

    def forward(self, value: Tensor) -> Tensor:
        values = [self.first(value)]
        for _ in range(3):
            values.append(F.max_pool2d(values[-1], 5, 1, 2))
        return self.last(torch.cat(values, 1))


class Detector(nn.Module):
    def __init__(self, classes: int = 4, width: int = 16, size: int = 128) -> None:
        super().__init__()
        self.stem = nn.Sequential(layer(3, width, stride=2), layer(width, 2 * width, stride=2), Split(2 * width, 2 * width))
        self.third = nn.Sequential(layer(2 * width, 4 * width, stride=2), Split(4 * width, 4 * width))
        self.fourth = nn.Sequential(layer(4 * width, 8 * width, stride=2), Split(8 * width, 8 * width), Pooling(8 * width))
        self.join = Split(12 * width, 4 * width, residual=False)
        self.down = layer(4 * width, 4 * width, stride=2)
        self.join_down = Split(12 * width, 8 * width, residual=False)
        self.heads = nn.ModuleList([nn.Conv2d(channels, 4 + classes, 1) for channels in (4 * width, 8 * width)])
        grids = [self.grid(size // stride, stride) for stride in (8, 16)]
        self.register_buffer("grid_of_cells", torch.cat([grid for grid, _ in grids], 1))
        self.register_buffer("strides", torch.cat([strides for _, strides in grids], 1))

    @staticmethod
    def grid(cells: int, stride: int) -> tuple[Tensor, Tensor]:
        y, x = torch.meshgrid(torch.arange(cells), torch.arange(cells), indexing="ij")
        return torch.stack((x, y)).reshape(2, -1) + 0.5, torch.full((1, cells * cells), float(stride))

    def forward(self, image: Tensor) -> Tensor:
        third = self.third(self.stem(image))
        fourth = self.fourth(third)
        value = self.join(torch.cat((F.interpolate(fourth, scale_factor=2, mode="nearest"), third), 1))
        maps = (value, self.join_down(torch.cat((self.down(value), fourth), 1)))
        flat = torch.cat([head(each).flatten(2) for head, each in zip(self.heads, maps, strict=True)], 2)
        near, far, scores = flat[:, :2], flat[:, 2:4], flat[:, 4:]
        low, high = self.grid_of_cells - near, self.grid_of_cells + far
        boxes = torch.cat(((low + high) / 2, high - low), 1) * self.strides
        return torch.cat((boxes, scores.sigmoid()), 1)


def make() -> nn.Module:
    return Detector()
