"""The 2D U-Net decoder that the systems of arXiv 2411.09838 share (section 4; ``common_decoder_seg.py`` of its repository)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Conv3x3(nn.Module):
    """3x3 convolution with zero padding."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H, W)."""
        result: Tensor = self.conv(x)
        return result


class ConvBlock(nn.Module):
    """``Conv3x3 -> BatchNorm -> ReLU``; the full-resolution level has the convolution only."""

    def __init__(self, c_in: int, c_out: int, *, plain: bool) -> None:
        super().__init__()
        self.conv = Conv3x3(c_in, c_out)
        self.bn = None if plain else nn.BatchNorm2d(c_out)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H, W)."""
        x = self.conv(x)
        return x if self.bn is None else F.relu(self.bn(x))


class UpSample(nn.Module):
    """2x2 transposed convolution with stride 2."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(c_in, c_out, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', 2H, 2W)."""
        result: Tensor = self.conv(x)
        return result


class Decoder2D(nn.Module):
    """From the coarsest features up: ``up -> concat skip -> ConvBlock -> ConvBlock``, head at full resolution.

    ``head_2`` and deeper exist in official checkpoints but are never run; they are kept so that those load unchanged.

    Args:
        channels: of the features of every level, the finest first; each level has half the height and width of the one before.
        classes: of the output.
    """

    def __init__(self, channels: Sequence[int], classes: int) -> None:
        super().__init__()
        self.layers = len(channels) - 1
        self.convs = nn.ModuleDict()
        for i in range(self.layers, 0, -1):
            c, top = channels[i - 1], i == 1
            self.convs[f"up_{i}"] = UpSample(channels[i], c)
            self.convs[f"channel_1_{i}"] = ConvBlock(c if top else 2 * c, c, plain=top)
            self.convs[f"channel_2_{i}"] = ConvBlock(c, c, plain=top)
            self.convs[f"head_{i}"] = Conv3x3(c, classes)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """The features of every level -> class logits (N, K, H, W). The finest are not read: that level has no skip."""
        x = features[-1]
        for i in range(self.layers, 0, -1):
            x = self.convs[f"up_{i}"](x)
            if i > 1:
                x = torch.cat([x, features[i - 1]], 1)
            x = self.convs[f"channel_2_{i}"](self.convs[f"channel_1_{i}"](x))
        logits: Tensor = self.convs["head_1"](x)
        return logits
