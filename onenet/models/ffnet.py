"""FFNet: Mehta et al., "Simple and Efficient Architectures for Semantic Segmentation", arXiv 2206.08236.

A ResNet-34 without dilation and an up-head: coarse features, upsampled and added to finer ones, then smoothed, joined and
turned into classes. The head has the widths of the paper's kind A (64, 128, 256 and 512 channels, 128 of each smoothed level),
the nearest upsampling of its mobile networks and a 1x1 segmentation head.

Free choices: the backbone is torchvision's ResNet-34, so that its ImageNet checkpoints fit (the authors' backbones have stems
and names of their own, and their checkpoints are refused), and logits at stride 4 are resized to the image bilinearly.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from onenet.models.scaled import ImageNetNormalisation, Scaled, ScaledSystem
from onenet.models.unet import ResNet, UNetConfig

STRIDE = 4
"""Of the finest features that the head reads, and of its logits."""


def layer(c_in: int, c_out: int, kernel: int) -> nn.Sequential:
    """``Conv -> BatchNorm -> ReLU``."""
    return nn.Sequential(nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(c_out), nn.ReLU())


class UpHead(nn.Module):
    """The features of strides 4, 8, 16 and 32 -> class logits of stride 4."""

    def __init__(self, config: Scaled) -> None:
        super().__init__()
        w = config.width
        channels, smooth = [w, 2 * w, 4 * w, 8 * w], 2 * w
        self.adapt = nn.ModuleList(layer(c, c, 1) for c in channels)
        self.smooth = nn.ModuleList(layer(c, smooth, 3) for c in channels)
        self.narrow = nn.ModuleList(layer(2 * c, c, 1) for c in channels[:-1])
        self.classes = nn.Sequential(layer(len(channels) * smooth, 8 * w, 1), nn.Conv2d(8 * w, config.classes, 1))

    def forward(self, features: list[Tensor]) -> Tensor:
        """Features of every level, the finest first -> (N, K, H/4, W/4)."""
        levels = [adapt(x) for adapt, x in zip(self.adapt, features, strict=True)]
        x = levels[-1]
        smoothed = [self.smooth[-1](x)]
        for i in range(len(levels) - 2, -1, -1):
            x = F.interpolate(self.narrow[i](x), scale_factor=2.0, mode="nearest") + levels[i]
            smoothed.append(self.smooth[i](x))
        height, width = x.shape[2:]
        joined = [each if each is smoothed[-1] else F.interpolate(each, size=(height, width)) for each in reversed(smoothed)]
        logits: Tensor = self.classes(torch.cat(joined, 1))
        return logits


class FFNet(nn.Module):
    """RGB in [0, 1], ``(N, 3, H, W)`` -> logits ``(N, classes, H, W)``; H and W are multiples of ``config.divisor``."""

    def __init__(self, config: Scaled) -> None:
        super().__init__()
        self.config = config
        self.normalise = ImageNetNormalisation()
        self.encoder = ResNet(
            UNetConfig("resnet34", config.layers, config.width, config.classes, config.channels_in), wide=False
        )
        self.decoder = UpHead(config)

    def forward(self, image: Tensor) -> Tensor:
        """RGB in [0, 1], (N, 3, H, W) -> class logits (N, K, H, W)."""
        logits = self.decoder(self.encoder(self.normalise(image))[2:])
        return F.interpolate(logits, scale_factor=float(STRIDE), mode="bilinear")


SYSTEM = ScaledSystem(
    "an FFNet",
    FFNet,
    Scaled(width=64, classes=19),
    first="encoder.conv1.weight",
    head="decoder.classes.1.weight",
    within="encoder.",
)
