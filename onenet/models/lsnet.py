"""LSNet, a light segmentation network in which every convolution is 1D: Zhang et al. 2023, doi 10.3389/fnbot.2023.1119231.

This network is built after the paper's abstract: a 1D-mixer encoder in a transformer's shape (a 1D multi-layer space module,
then a 1D multi-layer channel module, both with global features), an attention pyramid with flow alignment (AP-FA), and a budget
of 0.62 M parameters, of which it has 0.57 M with 12 classes. Its widths and equations are not the authors', and none of the
paper's figures are claimed for it.

A 1D convolution is one whose kernel lies along one axis: a row, a column, or the channels of a pixel. Free choices:

* widths of ``width`` times 1, 2, 3, 4 at strides 4, 8, 16 and 32, with 1, 1, 2, 2 blocks; 32 is what fits the budget;
* images are normalised as OneNet normalises them, and halved as OneNet halves them: pixel unshuffle, then a convolution;
* the space module: depthwise convolutions of 7 along rows and columns; its global features are the means of every row and
  column, convolved along the other axis and added to every pixel;
* the channel module: pointwise, ReLU, pointwise with twice the channels between; its global features, the mean of the image,
  become a gate for each of those channels;
* BatchNorm behind convolutions, where it folds into them, and not before them;
* the attention pyramid: every level's features as ``2 * width`` channels, finer ones gated by the mean of the coarser;
* flow alignment: at most one pixel along rows, then at most one along columns (``Shift``);
* logits at stride 4, resized bilinearly.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from onenet.errors import RequestError
from onenet.models.onenet import MEAN, STD
from onenet.models.system import Halving, System, given

PATCH = 4
"""Pixels along an edge of what becomes one place of the finest level."""
BLOCKS = (1, 1, 2, 2)
"""Mixer blocks of each level."""
KERNEL = 7
"""Places along a row or column that the space module reads."""
EXPANSION = 2
"""Of channels, in the channel module."""


@dataclass(frozen=True)
class LSNetConfig(Halving):
    """What fixes an LSNet's shape."""

    width: int = 32
    """Channels of the finest level, at a quarter of the image's height and width."""
    classes: int = 12
    channels_in: int = 3
    layers: int = field(default=len(BLOCKS) + 1, init=False)

    def __post_init__(self) -> None:
        self.require_whole("LSNet", ("width", "classes", "channels_in"))

    @property
    def channels(self) -> list[int]:
        """Per level, the finest first."""
        return [self.width * (i + 1) for i in range(len(BLOCKS))]


def pointwise(c_in: int, c_out: int) -> nn.Sequential:
    """``Conv1x1 -> BatchNorm``: a convolution along channels."""
    return nn.Sequential(nn.Conv2d(c_in, c_out, 1, bias=False), nn.BatchNorm2d(c_out))


def along(axis: int, c_in: int, c_out: int, kernel: int = KERNEL, *, depthwise: bool = True) -> nn.Conv2d:
    """A convolution along columns (axis 2) or rows (axis 3) of (N, C, H, W)."""
    size = [1, 1]
    size[axis - 2] = kernel
    padding = (size[0] // 2, size[1] // 2)
    return nn.Conv2d(c_in, c_out, (size[0], size[1]), padding=padding, groups=c_in if depthwise else 1)


class Space(nn.Module):
    """1D multi-layer space module: what lies near a pixel in its row and column, and the means of whole rows and columns."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.row, self.column = along(3, channels, channels), along(2, channels, channels)
        self.rows, self.columns = along(2, channels, channels), along(3, channels, channels)
        self.bn = nn.BatchNorm2d(channels)
        self.mix = pointwise(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        near = F.relu(self.bn(self.column(self.row(x))))
        rows = self.rows(x.mean(3, keepdim=True))  # (N, C, H, 1)
        columns = self.columns(x.mean(2, keepdim=True))  # (N, C, 1, W)
        mixed: Tensor = self.mix(near + rows + columns)
        return mixed


class Gate(nn.Module):
    """One factor in (0, 1) for each channel, from the mean of the image."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', 1, 1)."""
        return torch.sigmoid(self.conv(x.mean((2, 3), keepdim=True)))


class Channel(nn.Module):
    """1D multi-layer channel module: two layers along the channels of each pixel, with a gate from all pixels between."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        between = EXPANSION * channels
        self.widen, self.gate, self.narrow = (
            pointwise(channels, between),
            Gate(channels, between),
            pointwise(between, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        narrow: Tensor = self.narrow(F.relu(self.widen(x)) * self.gate(x))
        return narrow


class Mixer(nn.Module):
    """A transformer's block with the space module for its attention and the channel module for its MLP."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.space, self.channel = Space(channels), Channel(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        x = x + self.space(x)
        mixed: Tensor = x + self.channel(x)
        return mixed


class Level(nn.Module):
    """Pixel unshuffle, a convolution of its channels, mixer blocks."""

    def __init__(self, c_in: int, c_out: int, factor: int, blocks: int) -> None:
        super().__init__()
        self.factor = factor
        self.merge = pointwise(c_in * factor**2, c_out)
        self.blocks = nn.Sequential(*(Mixer(c_out) for _ in range(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H / factor, W / factor)."""
        features: Tensor = self.blocks(F.relu(self.merge(F.pixel_unshuffle(x, self.factor))))
        return features


class Encoder(nn.Module):
    """The 1D-mixer encoder."""

    def __init__(self, config: LSNetConfig) -> None:
        super().__init__()
        steps = zip(itertools.pairwise([config.channels_in, *config.channels]), BLOCKS, strict=True)
        self.levels = nn.ModuleList(
            Level(c_in, c_out, 2 if i else PATCH, blocks) for i, ((c_in, c_out), blocks) in enumerate(steps)
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """RGB in [0, 1] -> the features of every level, the finest first."""
        x, features = (image - MEAN) / STD, []
        for level in self.levels:
            x = level(x)
            features.append(x)
        return features


class Shift(nn.Module):
    """Samples features along one axis at a flow of at most one pixel: ``grid_sample``'s result, in operators of every target.

    For a flow f in [-1, 1] the bilinear sample is ``u + relu(f) * (next - u) + relu(-f) * (previous - u)``. Both differences
    are depthwise convolutions with the weights -1 and 1, exact in int8; their zero padding is that of ``grid_sample``. What
    that costs, beside ``grid_sample`` itself: ``docs/benchmarks/flow.md``.
    """

    towards_next: Tensor
    towards_previous: Tensor

    def __init__(self, axis: int, channels: int) -> None:
        super().__init__()
        self.axis, self.channels = axis, channels
        shape = [channels, 1, 3, 1] if axis == 2 else [channels, 1, 1, 3]
        for name, weights in (("towards_next", [0.0, -1.0, 1.0]), ("towards_previous", [1.0, -1.0, 0.0])):
            taps = torch.tensor(weights).repeat(channels).reshape(shape)
            self.register_buffer(name, taps, persistent=False)

    def forward(self, x: Tensor, share: Tensor) -> Tensor:
        """Sample.

        Args:
            x: features (N, C, H, W).
            share: (N, 1, H, W) in [0, 1]: 0 is the previous pixel, 1/2 the pixel itself, 1 the next one.
        """
        padding = [1, 0] if self.axis == 2 else [0, 1]
        following = F.conv2d(x, self.towards_next, padding=padding, groups=self.channels)
        preceding = F.conv2d(x, self.towards_previous, padding=padding, groups=self.channels)
        return x + F.relu(2 * share - 1) * following + F.relu(-2 * share + 1) * preceding


class FlowAlignment(nn.Module):
    """Brings coarse features to the places of finer ones: twice the size, then moved along rows and along columns."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        between = channels // 2
        self.reduce = pointwise(2 * channels, between)
        self.along_rows = along(3, between, 1, 3, depthwise=False)
        self.along_columns = along(2, between, 1, 3, depthwise=False)
        self.move_rows, self.move_columns = Shift(3, channels), Shift(2, channels)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(N, C, H, W) and (N, C, 2H, 2W) -> the coarse features as (N, C, 2H, 2W)."""
        x = F.interpolate(coarse, scale_factor=2.0, mode="bilinear")
        both = F.relu(self.reduce(torch.cat([x, fine], 1)))
        x = self.move_rows(x, torch.sigmoid(self.along_rows(both)))
        moved: Tensor = self.move_columns(x, torch.sigmoid(self.along_columns(both)))
        return moved


class Join(nn.Module):
    """One step of the attention pyramid: aligned coarse features, and finer ones behind a gate from the coarse."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.align, self.gate, self.mix = FlowAlignment(channels), Gate(channels, channels), Space(channels)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(N, C, H, W) and (N, C, 2H, 2W) -> (N, C, 2H, 2W)."""
        joined: Tensor = self.align(coarse, fine) + fine * self.gate(coarse)
        return F.relu(self.mix(joined))


class Pyramid(nn.Module):
    """The attention pyramid with flow alignment, and the head."""

    def __init__(self, config: LSNetConfig) -> None:
        super().__init__()
        channels = 2 * config.width
        self.sides = nn.ModuleList(pointwise(c, channels) for c in config.channels)
        self.joins = nn.ModuleList(Join(channels) for _ in config.channels[1:])
        self.head = nn.Conv2d(channels, config.classes, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """The features of every level -> class logits (N, K, H, W) of the image's size."""
        levels = [F.relu(side(x)) for side, x in zip(self.sides, features, strict=True)]
        x = levels.pop()
        for join in self.joins:
            x = join(x, levels.pop())
        return F.interpolate(self.head(x), scale_factor=float(PATCH), mode="bilinear")


class LSNet(nn.Module):
    """RGB in [0, 1], ``(N, channels_in, H, W)`` -> logits ``(N, classes, H, W)``; H and W are multiples of 32."""

    def __init__(self, config: LSNetConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder, self.decoder = Encoder(config), Pyramid(config)

    def forward(self, image: Tensor) -> Tensor:
        """RGB in [0, 1], (N, C, H, W) -> class logits (N, K, H, W)."""
        logits: Tensor = self.decoder(self.encoder(image))
        return logits


class LSNetSystem(System[LSNetConfig]):
    """Builds LSNet at any width."""

    def configure(
        self,
        named: Mapping[str, object],
        published: Mapping[str, object] | None,
        state: Mapping[str, Tensor] | None,
        asked: Mapping[str, object],
    ) -> LSNetConfig:
        """A checkpoint fills in width, classes and channels."""
        self.refuse_onenet_options("an LSNet", published, asked)
        options: dict[str, Any] = {**(shape_of(state) if state else {}), **named}
        return replace(LSNetConfig(**options), **given(asked, "width", "classes"))

    def create(self, config: LSNetConfig) -> LSNet:
        """The network, untrained."""
        return LSNet(config)


def shape_of(state: Mapping[str, Tensor]) -> dict[str, int]:
    """What a checkpoint says of an LSNet's shape.

    Raises:
        RequestError: the checkpoint is not such a network's.
    """
    first, head = state.get("encoder.levels.0.merge.0.weight"), state.get("decoder.head.weight")
    if first is None or head is None or first.dim() != 4 or head.dim() != 4:
        lacks = "encoder.levels.0.merge.0.weight or decoder.head.weight, or they are no convolutions"
        raise RequestError(f"the checkpoint is not an LSNet's: it lacks {lacks}")
    return {"width": first.shape[0], "classes": head.shape[0], "channels_in": first.shape[1] // PATCH**2}


SYSTEM = LSNetSystem()
