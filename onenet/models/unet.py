"""The U-Nets that the paper compares OneNet with (arXiv 2411.09838, tables 1 and 2): one decoder, four encoders.

Only OneNet's own code is published. What the encoders are was found from table 2: these networks have its parameters,
its bytes and its activation memory to every digit printed (``docs/models.md`` has the figures and what remains).

* ``unet``: two 3x3 convolutions a level and max pooling, as in Ronneberger et al., arXiv 1505.04597;
* ``resnet34``, ``resnet50``: He et al., arXiv 1512.03385, with torchvision's state-dict keys. The paper counts the ImageNet
  classifier too (0.51 M and 2.05 M), which a segmentation network never runs; here it is left out;
* ``mobilenet``: depthwise and pointwise convolutions (Howard et al., arXiv 1704.04861) in U-Net's shape, figure 3b; three
  ordinary convolutions at full resolution, as many as OneNet's bottleneck has.

Free choices: images are normalised as OneNet normalises them, and ``width`` scales every encoder (64 is the paper's).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from onenet.errors import RequestError
from onenet.models.decoder import ConvBlock, Decoder2D
from onenet.models.onenet import MEAN, STD
from onenet.models.system import Halving, System, given

RESNET_BLOCKS = (3, 4, 6, 3)
"""Blocks of each stage, of ResNet-34 and ResNet-50 alike."""
CLASSIFIER = "fc."
"""Keys of a torchvision checkpoint that no segmentation network has."""


@dataclass(frozen=True)
class UNetConfig(Halving):
    """What fixes a U-Net's shape. Defaults are the paper's."""

    encoder: str
    layers: int = 4
    """Times that the encoder halves height and width; 5 in a ResNet."""
    width: int = 64
    """Channels at full resolution; of a ResNet, those of its first convolution."""
    classes: int = 4
    channels_in: int = 3

    def __post_init__(self) -> None:
        if self.encoder not in ENCODERS:
            raise RequestError(f"U-Net encoder {self.encoder!r} is not known; supported: {', '.join(ENCODERS)}")
        self.require_whole("U-Net", ("layers", "width", "classes", "channels_in"))
        if self.encoder.startswith("resnet") and self.layers != 5:
            raise RequestError(f"a {self.encoder} halves an image 5 times, found layers {self.layers}")


class ConvLevels(nn.Module):
    """An encoder whose levels are blocks with max pooling between them."""

    def __init__(self, levels: list[nn.Module]) -> None:
        super().__init__()
        self.levels = nn.ModuleList(levels)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> the features of every level, the finest first."""
        features: list[Tensor] = []
        for level in self.levels:
            x = level(F.max_pool2d(x, 2) if features else x)
            features.append(x)
        return features


def plane_channels(config: UNetConfig) -> list[int]:
    """Channels per level: width, 2 width, 4 width, ..."""
    return [config.width * 2**i for i in range(config.layers + 1)]


def block(c_in: int, c_out: int) -> ConvBlock:
    """``Conv3x3 -> BatchNorm -> ReLU``."""
    return ConvBlock(c_in, c_out, plain=False)


def separable(c_in: int, c_out: int) -> nn.Sequential:
    """A depthwise 3x3 and a pointwise convolution, each with BatchNorm and ReLU (figure 3b)."""
    depthwise = nn.Sequential(nn.Conv2d(c_in, c_in, 3, padding=1, groups=c_in), nn.BatchNorm2d(c_in), nn.ReLU())
    return nn.Sequential(depthwise, nn.Sequential(nn.Conv2d(c_in, c_out, 1), nn.BatchNorm2d(c_out), nn.ReLU()))


def unet_encoder(config: UNetConfig) -> ConvLevels:
    """Two 3x3 convolutions a level."""
    channels = plane_channels(config)
    pairs = zip([config.channels_in, *channels], channels, strict=False)
    return ConvLevels([nn.Sequential(block(c_in, c_out), block(c_out, c_out)) for c_in, c_out in pairs])


def mobilenet_encoder(config: UNetConfig) -> ConvLevels:
    """Three 3x3 convolutions at full resolution, then two separable ones a level."""
    channels = plane_channels(config)
    first = nn.Sequential(block(config.channels_in, config.width), *(block(config.width, config.width) for _ in range(2)))
    pairs = itertools.pairwise(channels)
    return ConvLevels([first, *(nn.Sequential(separable(a, b), separable(b, b)) for a, b in pairs)])


class ResNetBlock(nn.Module):
    """A residual block: two 3x3 convolutions, or 1x1, 3x3, 1x1 with four times the channels at its end."""

    def __init__(self, c_in: int, width: int, stride: int, *, wide: bool) -> None:
        super().__init__()
        c_out = 4 * width if wide else width
        shapes = [(c_in, width, 1), (width, width, 3), (width, c_out, 1)] if wide else [(c_in, width, 3), (width, width, 3)]
        strided = 1 if wide else 0  # the 3x3 convolution, as torchvision has it
        self.depth = len(shapes)
        for i, (a, b, kernel) in enumerate(shapes):
            convolution = nn.Conv2d(a, b, kernel, stride if i == strided else 1, kernel // 2, bias=False)
            self.add_module(f"conv{i + 1}", convolution)
            self.add_module(f"bn{i + 1}", nn.BatchNorm2d(b))
        self.downsample = None
        if stride > 1 or c_in != c_out:
            self.downsample = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H', W')."""
        shortcut = x if self.downsample is None else self.downsample(x)
        for i in range(1, self.depth + 1):
            x = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x))
            x = F.relu(x) if i < self.depth else x
        return F.relu(x + shortcut)


class ResNet(nn.Module):
    """A ResNet without its classifier."""

    def __init__(self, config: UNetConfig, *, wide: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(config.channels_in, config.width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(config.width)
        channels = config.width
        for stage, count in enumerate(RESNET_BLOCKS):
            width, blocks = config.width * 2**stage, []
            for i in range(count):
                blocks.append(ResNetBlock(channels, width, 2 if stage and not i else 1, wide=wide))
                channels = 4 * width if wide else width
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> the image, then the features of every halving."""
        features = [x, F.relu(self.bn1(self.conv1(x)))]
        x = F.max_pool2d(features[-1], 3, 2, 1)
        for stage in range(len(RESNET_BLOCKS)):
            x = getattr(self, f"layer{stage + 1}")(x)
            features.append(x)
        return features


def resnet_channels(config: UNetConfig) -> list[int]:
    """Of every level; the decoder has the first convolution's width at full resolution, where no features are read."""
    factor = 4 if config.encoder == "resnet50" else 1
    return [config.width, config.width, *(factor * config.width * 2**stage for stage in range(len(RESNET_BLOCKS)))]


ENCODERS = {
    "unet": (unet_encoder, plane_channels),
    "resnet34": (lambda config: ResNet(config, wide=False), resnet_channels),
    "resnet50": (lambda config: ResNet(config, wide=True), resnet_channels),
    "mobilenet": (mobilenet_encoder, plane_channels),
}
"""Name -> what makes an encoder, and the channels of its features."""


class UNet(nn.Module):
    """A U-Net of the paper's comparison: RGB in [0, 1], ``(N, channels_in, H, W)`` -> logits ``(N, classes, H, W)``.

    H and W must be multiples of ``config.divisor``.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        encoder, channels = ENCODERS[config.encoder]
        self.encoder = encoder(config)
        self.decoder = Decoder2D(channels(config), config.classes)

    def forward(self, image: Tensor) -> Tensor:
        """RGB in [0, 1], (N, C, H, W) -> class logits (N, K, H, W)."""
        logits: Tensor = self.decoder(self.encoder((image - MEAN) / STD))
        return logits


def shape_of(state: Mapping[str, Tensor], encoder: str) -> dict[str, Any]:
    """What a checkpoint says of a U-Net's shape; of an encoder's checkpoint, what it can.

    Raises:
        RequestError: the checkpoint is not such a network's.
    """
    names = {"unet": "levels.0.0.conv.conv.weight", "mobilenet": "levels.0.0.conv.conv.weight"}
    key = f"encoder.{names.get(encoder, 'conv1.weight')}"
    first, head = state.get(key), state.get("decoder.convs.head_1.conv.weight")
    if first is None or first.dim() != 4:
        raise RequestError(f"the checkpoint is not a U-Net's with the encoder {encoder}: it lacks {key}")
    shape: dict[str, Any] = {"width": first.shape[0], "channels_in": first.shape[1]}
    if head is None:
        return shape
    layers = sum(re.fullmatch(r"decoder\.convs\.up_\d+\.conv\.weight", key) is not None for key in state)
    return {**shape, "classes": head.shape[0], "layers": layers}


class UNetSystem(System[UNetConfig]):
    """Builds the paper's U-Nets."""

    def configure(
        self,
        named: Mapping[str, object],
        published: Mapping[str, object] | None,
        state: Mapping[str, Tensor] | None,
        asked: Mapping[str, object],
    ) -> UNetConfig:
        """A checkpoint fills in what nobody states; what is stated and differs from it is left to fail on the first key."""
        self.refuse_onenet_options("a U-Net", published, asked)
        options: dict[str, Any] = dict(named)
        config = UNetConfig(**{**(shape_of(state, options["encoder"]) if state else {}), **options})
        return replace(config, **given(asked, "width", "classes"))

    def create(self, config: UNetConfig) -> UNet:
        """The network, untrained."""
        return UNet(config)

    def own_keys(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A torchvision ResNet's checkpoint as this encoder's part; any other as it is."""
        if "layer1.0.conv1.weight" not in state:
            return dict(state)
        return {f"encoder.{key}": value for key, value in state.items() if not key.startswith(CLASSIFIER)}


SYSTEM = UNetSystem()
