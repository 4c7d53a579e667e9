"""SegOne, text-conditioned segmentation by diffusion with 1D convolutions, after its proposal: one denoiser step.

The proposal gives the parts: a U-Net of channel-wise 1D convolutions, pixel unshuffle for pooling, a channel-wise max-pool that
changes the number of channels, pixel shuffle for upscaling, a text embedding (CLIP's) in the latent space and the decoder's
skip connections, a head of kernel 1, and an L1 loss on the mask. Equations, widths and the sampler are open. Free choices:

* the network is given the image, a noisy mask, the noise level and the text, and gives its estimate of the clean mask, which is
  -1 outside of what the text names and 1 inside; so every value has a known range, which int8 needs. ``onenet.base.diffusion``
  has the noise levels, ``onenet.runtimes.sampler`` the steps (DDIM);
* the noise level comes as an embedding of sines and cosines: computed beside the network, once a step, not inside it;
* noise level and text become one condition, two linear layers deep, which is added to the latent and to every skip connection,
  each with a linear layer of its own;
* the max-pool is over channels i and i + C/2, written ``a + relu(b - a)``: every target computes that in int8. Which channels
  meet is a matter of the order of channels, which training chooses;
* blocks, widths and normalisation are OneNet's (``Conv1DBlock``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from onenet.errors import RequestError
from onenet.models.onenet import MEAN, STD, channel_wise, flatten, pointwise, recover
from onenet.models.system import Halving, System, given
from onenet.spec import TensorSpec

CLIP = 512
"""Length of the text embeddings of CLIP's smaller models (ViT-B)."""
NOISE = 4.0
"""Deviations of noise that a noisy mask is expected within."""


@dataclass(frozen=True)
class SegOneConfig(Halving):
    """What fixes a SegOne's shape."""

    layers: int = 4
    width: int = 64
    classes: int = 1
    """Channels of the mask: one for one text."""
    channels_in: int = 3
    text: int = CLIP
    """Length of a text's embedding."""
    time: int = 64
    """Length of a noise level's embedding."""

    def __post_init__(self) -> None:
        self.require_whole("SegOne", ("layers", "width", "classes", "channels_in", "text", "time"))
        if self.width % 2 or self.time % 2:
            raise RequestError(f"SegOne width and time must be even, found {self.width} and {self.time}")

    @property
    def channels(self) -> list[int]:
        """Per level, the finest first: width, 2 width, 4 width, ..."""
        return [self.width * 2**i for i in range(self.layers + 1)]


def channel_max(x: Tensor) -> Tensor:
    """The larger of channels i and i + C/2: (N, C, H, W) -> (N, C/2, H, W)."""
    half = x.shape[1] // 2
    first, second = x[:, :half], x[:, half:]
    return first + F.relu(second - first)


class Pair(nn.Module):
    """Two channel-wise 1D convolutions, on images."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.first, self.second = channel_wise(c_in, c_out), pointwise(c_out, c_out)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H, W)."""
        return recover(self.second(self.first(flatten(x))), x)


class Condition(nn.Module):
    """Noise level and text as one vector, and what of it is added to each level."""

    def __init__(self, config: SegOneConfig) -> None:
        super().__init__()
        size = 2 * config.width
        self.time, self.text = nn.Linear(config.time, size), nn.Linear(config.text, size)
        self.both = nn.Linear(size, size)
        self.levels = nn.ModuleList(nn.Linear(size, c) for c in config.channels[1:])

    def forward(self, time: Tensor, text: Tensor) -> list[Tensor]:
        """(N, time) and (N, text) -> (N, C, 1, 1) for every level but the finest."""
        both = F.relu(self.both(F.relu(self.time(time) + self.text(text))))
        return [level(both)[:, :, None, None] for level in self.levels]


class Denoiser(nn.Module):
    """One step of SegOne: an estimate of the clean mask. H and W must be multiples of ``config.divisor``."""

    def __init__(self, config: SegOneConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.channels
        self.condition = Condition(config)
        self.image, self.mask = Pair(config.channels_in, config.width), Pair(config.classes, config.width)
        self.down = nn.ModuleList(Pair(c, c) for c in channels[1:])
        self.up = nn.ModuleList(channel_wise(channels[i], 2 * channels[i]) for i in range(config.layers, 0, -1))
        self.join = nn.ModuleList(
            Pair(channels[i - 1] * (2 if i > 1 else 1), channels[i - 1]) for i in range(config.layers, 0, -1)
        )
        self.head = nn.Conv2d(config.width, config.classes, 1)

    def forward(self, image: Tensor, noisy: Tensor, time: Tensor, text: Tensor) -> Tensor:
        """One step.

        Args:
            image: RGB in [0, 1], (N, C, H, W).
            noisy: the mask in [-1, 1] with its share of noise, (N, K, H, W).
            time: ``level_embedding`` of the noise level, (N, time).
            text: the embedding of what is looked for, (N, text).

        Returns:
            The estimate of the clean mask, (N, K, H, W).
        """
        conditions = self.condition(time, text)
        x = self.image((image - MEAN) / STD) + self.mask(noisy)
        skips: list[Tensor] = []
        for down, condition in zip(self.down, conditions, strict=True):
            x = down(channel_max(F.pixel_unshuffle(x, 2)))
            x = x + condition
            skips.append(x)
        x = skips.pop()
        for up, join in zip(self.up, self.join, strict=True):
            x = F.pixel_shuffle(recover(up(flatten(x)), x), 2)
            x = join(torch.cat([x, skips.pop()], 1) if skips else x)
        estimate: Tensor = self.head(x)
        return estimate


class SegOneSystem(System[SegOneConfig]):
    """Builds SegOne's denoiser step."""

    def configure(
        self,
        named: Mapping[str, object],
        published: Mapping[str, object] | None,
        state: Mapping[str, Tensor] | None,
        asked: Mapping[str, object],
    ) -> SegOneConfig:
        """A checkpoint fills in its shape."""
        self.refuse_onenet_options("a SegOne", published, asked)
        options: dict[str, Any] = {**(shape_of(state) if state else {}), **named}
        return replace(SegOneConfig(**options), **given(asked, "width", "classes"))

    def create(self, config: SegOneConfig) -> Denoiser:
        """The network, untrained."""
        return Denoiser(config)

    def inputs(self, config: SegOneConfig, size: tuple[int, int]) -> tuple[TensorSpec, ...]:
        """Image, noisy mask, noise level and text."""
        mask = TensorSpec("noisy", "mask", (1, config.classes, *size), "NCHW", value_range=(-NOISE, NOISE))
        time = TensorSpec("time", "embedding", (1, config.time), value_range=(-1.0, 1.0))
        return (*super().inputs(config, size), mask, time, TensorSpec("text", "embedding", (1, config.text)))

    def outputs(self, config: SegOneConfig, size: tuple[int, int]) -> tuple[str, tuple[TensorSpec, ...]]:
        """The estimate of the clean mask."""
        return "denoiser", (TensorSpec("estimate", "scores", (1, config.classes, *size), "NCHW", value_range=(-1.0, 1.0)),)


def shape_of(state: Mapping[str, Tensor]) -> dict[str, int]:
    """What a checkpoint says of a SegOne's shape.

    Raises:
        RequestError: the checkpoint is not such a network's.
    """
    keys = ("image.first.conv.weight", "head.weight", "condition.text.weight", "condition.time.weight")
    missing = [key for key in keys if key not in state]
    if missing:
        raise RequestError(f"the checkpoint is not a SegOne's: it lacks {missing[0]}")
    first, head, text, time = (state[key] for key in keys)
    layers = sum(key.startswith("condition.levels.") and key.endswith(".weight") for key in state)
    sizes = {"width": first.shape[0], "channels_in": first.shape[2], "classes": head.shape[0]}
    return {**sizes, "layers": layers, "text": text.shape[1], "time": time.shape[1]}


SYSTEM = SegOneSystem()
