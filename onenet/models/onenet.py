"""OneNet, the channel-wise 1D-convolution U-Net of Byun et al., arXiv 2411.09838.

Two systems share the 1D encoder (paper, section 3.3 and figure 2):

* ``ed``: 1D encoder and 1D decoder ("SEGONE" in the official repository's configuration files),
* ``e``:  1D encoder and an ordinary 2D U-Net decoder ("ONENET" there).

The state-dict keys are those of https://github.com/shbyun080/OneNet (CC BY 4.0), so its checkpoints load unchanged.
Shapes in comments: ``(N, C, H, W)`` images, ``(N, 1, H*W*C)`` pixel-major sequences, ``(N, C, H*W)`` channel planes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from onenet.errors import RequestError
from onenet.models.decoder import Decoder2D
from onenet.models.system import Halving, System, given

MEAN, STD = 0.45, 0.225
FOREIGN = "the checkpoint is not a OneNet's: it lacks"
OFFICIAL_NAMES: dict[str, Literal["e", "ed"]] = {"ONENET": "e", "SEGONE": "ed"}


@dataclass(frozen=True)
class OneNetConfig(Halving):
    """What fixes a OneNet's shape. Defaults are the paper's (section 4): width 64, three bottleneck blocks, kernel 9."""

    variant: Literal["e", "ed"]
    layers: int = 4
    width: int = 64
    classes: int = 4
    channels_in: int = 3
    kernel: int | None = 9
    """Length of the spatial 1D convolution; ``None`` is the paper's ``-C`` form without it (table 3)."""
    repeat: int = 3

    def __post_init__(self) -> None:
        if self.variant not in ("e", "ed"):
            raise RequestError(f"OneNet variant {self.variant!r} is not known; supported: 'e', 'ed'")
        self.require_whole("OneNet", ("layers", "width", "classes", "channels_in", "repeat"))
        if self.kernel is not None and (not isinstance(self.kernel, int) or self.kernel < 1 or self.kernel % 2 == 0):
            raise RequestError(
                f"OneNet kernel must be an odd whole number, found {self.kernel!r}: an even spatial convolution would "
                "change the sequence length. Use an odd number, or --no-spatial"
            )

    @classmethod
    def from_official(cls, options: Mapping[str, Any]) -> OneNetConfig:
        """Read the ``model:`` section of an official YAML configuration file.

        Raises:
            RequestError: an option is missing, or ``name`` is neither ``ONENET`` nor ``SEGONE``.
        """
        name = options.get("name")
        if not isinstance(name, str) or name not in OFFICIAL_NAMES:
            raise RequestError(f"model name {name!r} is not known; supported: {', '.join(OFFICIAL_NAMES)}")
        names = {
            "num_layers": "layers",
            "bottleneck_channel": "width",
            "channel_out": "classes",
            "channel_in": "channels_in",
            "bottleneck_repeat": "repeat",
        }
        missing = [key for key in names if key not in options]
        if missing:
            raise RequestError(f"the model section lacks {', '.join(missing)}; found {', '.join(options)}")
        return cls(OFFICIAL_NAMES[name], kernel=options.get("kernel_size") or None, **{names[k]: options[k] for k in names})

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> OneNetConfig:
        """Read the shape off a checkpoint.

        Raises:
            RequestError: the checkpoint is not a OneNet's.
        """
        shape, head = encoder_shape(state), state.get("decoder.convs.head_1.conv.weight")
        if head is None or head.dim() < 3:
            raise RequestError(f"{FOREIGN} decoder.convs.head_1.conv.weight, or it is no convolution")
        return cls("ed" if "decoder.bottleneck.conv.weight" in state else "e", classes=head.shape[0], **shape)

    @property
    def channels(self) -> list[int]:
        """Encoder channels per level: width, 2 width, 4 width, ..."""
        return [self.width * 2**i for i in range(self.layers + 1)]


def encoder_shape(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """What a checkpoint says of its encoder, by the names of ``OneNetConfig``.

    Raises:
        RequestError: the checkpoint has no OneNet encoder.
    """
    first = state.get("encoder.bottleneck.blocks.0.conv.weight")
    if first is None or first.dim() != 3:
        raise RequestError(f"{FOREIGN} encoder.bottleneck.blocks.0.conv.weight, or it is no convolution")
    spatial = state.get("encoder.convs.spatial_0.conv.weight")

    def count(pattern: str) -> int:
        return sum(re.fullmatch(pattern, key) is not None for key in state)

    return {
        "layers": count(r"encoder\.convs\.channel_1_\d+\.conv\.weight"),
        "width": first.shape[0],
        "channels_in": first.shape[2],
        "kernel": None if spatial is None else spatial.numel(),
        "repeat": count(r"encoder\.bottleneck\.blocks\.\d+\.conv\.weight"),
    }


def changes_of(asked: Mapping[str, object]) -> dict[str, Any]:
    """What a user's options change of a shape.

    Raises:
        RequestError: a kernel and no spatial convolution.
    """
    changes = given(asked, "width", "classes", "kernel")
    if asked.get("spatial") is False:
        if "kernel" in changes:
            raise RequestError("a kernel and no spatial convolution were both asked for; give one of them")
        changes["kernel"] = None
    return changes


class Conv1DBlock(nn.Module):
    """``[reflect pad ->] Conv1d -> ReLU -> BatchNorm``, the 1D block (figure 1). One output channel has no BatchNorm."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1, *, pad: bool = False, head: bool = False):
        super().__init__()
        self.pad = kernel // 2 if pad else 0
        self.relu = not head
        self.conv = nn.Conv1d(c_in, c_out, kernel, stride=stride)
        self.bn = nn.BatchNorm1d(c_out) if c_out > 1 and not head else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, L) -> (N, C', L')."""
        if self.pad:
            x = F.pad(x, (self.pad, self.pad), mode="reflect")
        x = self.conv(x)
        if self.relu:
            x = F.relu(x)
        return self.bn(x) if self.bn is not None else x


def channel_wise(c_in: int, c_out: int) -> Conv1DBlock:
    """A convolution over the whole channel vector of each pixel: kernel = stride = C (section 3.2)."""
    return Conv1DBlock(1, c_out, c_in, stride=c_in)


def pointwise(c_in: int, c_out: int, *, head: bool = False) -> Conv1DBlock:
    """A 1D convolution of kernel 1 on planes (N, C, L)."""
    return Conv1DBlock(c_in, c_out, 1, head=head)


def spatial(kernel: int) -> Conv1DBlock:
    """The one-channel convolution along the flattened sequence, with reflected ends (section 3.2)."""
    return Conv1DBlock(1, 1, kernel, pad=True)


def flatten(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, 1, H*W*C), pixel by pixel."""
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], 1, -1)


def recover(x: Tensor, like: Tensor) -> Tensor:
    """(N, C, H*W) -> (N, C, H, W) with the height and width of ``like``."""
    return x.reshape(x.shape[0], x.shape[1], like.shape[2], like.shape[3])


class Bottleneck(nn.Module):
    """The full-resolution blocks before the first unshuffle."""

    def __init__(self, config: OneNetConfig) -> None:
        super().__init__()
        first = channel_wise(config.channels_in, config.width)
        rest = [pointwise(config.width, config.width) for _ in range(config.repeat - 1)]
        self.blocks = nn.ModuleList([first, *rest])

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, width, H, W)."""
        y = flatten(x)
        for block in self.blocks:
            y = block(y)
        return recover(y, x)


def convolve(convs: nn.ModuleDict, level: int, x: Tensor) -> Tensor:
    """``[spatial ->] channel_1 -> channel_2`` on the flattened ``x``; returns (N, C', H*W)."""
    y = flatten(x)
    if f"spatial_{level}" in convs:
        y = convs[f"spatial_{level}"](y)
    y = convs[f"channel_1_{level}"](y)
    planes: Tensor = convs[f"channel_2_{level}"](y)
    return planes


class Encoder(nn.Module):
    """Normalise, bottleneck, then per level ``unshuffle(2) -> [spatial ->] channel_1 -> channel_2``."""

    def __init__(self, config: OneNetConfig) -> None:
        super().__init__()
        self.bottleneck = Bottleneck(config)
        self.convs = nn.ModuleDict()
        for i, c_out in enumerate(config.channels[1:]):
            if config.kernel is not None:
                self.convs[f"spatial_{i}"] = spatial(config.kernel)
            self.convs[f"channel_1_{i}"] = channel_wise(2 * c_out, c_out)
            self.convs[f"channel_2_{i}"] = pointwise(c_out, c_out)
        self.layers = config.layers

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> the features of every level, the finest first."""
        x = self.bottleneck((x - MEAN) / STD)
        features = [x]
        for i in range(self.layers):
            x = F.pixel_unshuffle(x, 2)
            x = recover(convolve(self.convs, i, x), x)
            features.append(x)
        return features


class Decoder1D(nn.Module):
    """The ``ed`` decoder: ``shuffle(2) -> concat skip -> [spatial ->] channel_1 -> channel_2``, head at full resolution.

    ``head_2`` and deeper exist in official checkpoints but are never run; they are kept so that those load unchanged.
    """

    def __init__(self, config: OneNetConfig) -> None:
        super().__init__()
        channels = config.channels
        self.bottleneck = channel_wise(channels[-1], 2 * channels[-1])
        self.convs = nn.ModuleDict()
        for i in range(config.layers, 0, -1):
            c = 2 * channels[i - 1] if i > 1 else channels[0]
            if config.kernel is not None:
                self.convs[f"spatial_{i}"] = spatial(config.kernel)
            self.convs[f"channel_1_{i}"] = channel_wise(c, c)
            self.convs[f"channel_2_{i}"] = pointwise(c, c)
            self.convs[f"head_{i}"] = pointwise(c, config.classes, head=True)
        self.layers = config.layers

    def forward(self, features: list[Tensor]) -> Tensor:
        """The features of every level -> class logits (N, K, H, W)."""
        x = recover(self.bottleneck(flatten(features[-1])), features[-1])
        for i in range(self.layers, 0, -1):
            x = F.pixel_shuffle(x, 2)
            if i > 1:  # the full-resolution level has no skip connection
                x = torch.cat([x, features[i - 1]], 1)
            y = convolve(self.convs, i, x)
            if i == 1:
                y = self.convs["head_1"](y)
            x = recover(y, x)
        return x


class OneNet(nn.Module):
    """OneNet as published: RGB in [0, 1], ``(N, channels_in, H, W)`` -> logits ``(N, classes, H, W)``.

    H and W must be multiples of ``config.divisor``.
    """

    def __init__(self, config: OneNetConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder1D(config) if config.variant == "ed" else Decoder2D(config.channels, config.classes)

    def forward(self, image: Tensor) -> Tensor:
        """RGB in [0, 1], (N, C, H, W) -> class logits (N, K, H, W)."""
        logits: Tensor = self.decoder(self.encoder(image))
        return logits


class OneNetSystem(System[OneNetConfig]):
    """Builds every OneNet of the registry."""

    def configure(
        self,
        named: Mapping[str, object],
        published: Mapping[str, object] | None,
        state: Mapping[str, Tensor] | None,
        asked: Mapping[str, object],
    ) -> OneNetConfig:
        """A checkpoint fills in what nobody states; what is stated and differs from it is left to fail on the first key."""
        options: dict[str, Any] = dict(named)
        if published is not None:
            config = OneNetConfig.from_official(dict(published))
        elif state is not None:
            config = replace(OneNetConfig.from_state(dict(state)), **options)
        else:
            config = OneNetConfig(**options)
        return replace(config, **changes_of(asked))

    def create(self, config: OneNetConfig) -> OneNet:
        """The network, untrained."""
        return OneNet(config)

    def name_of(self, config: OneNetConfig) -> str:
        """``onenet-ed4``: variant and levels."""
        return f"onenet-{config.variant}{config.layers}"


SYSTEM = OneNetSystem()
