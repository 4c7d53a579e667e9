"""U²-Net's small form, U²-Netp: Qin et al., arXiv 2005.09007. U-shaped blocks inside a U; one object against its background.

The keys are those of https://github.com/xuebinqin/U-2-Net (Apache 2.0), so ``u2netp.pth`` loads unchanged. As published, inputs
are divided by their largest value before ImageNet's normalisation; here white is 1 and only the normalisation is inside.

The published network gives seven maps, for training; deployed is the first, their fusion. ``maps`` keeps them all.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from onenet.models.scaled import ImageNetNormalisation, Scaled, ScaledSystem, object_or_classes

DEPTHS = (7, 6, 5, 4)
"""Levels of the U inside each of the four finest stages; the others have dilation instead."""
DILATED = 4
STAGES = 6


class Layer(nn.Module):
    """``Conv3x3 -> BatchNorm -> ReLU``, with the names of the published code."""

    def __init__(self, c_in: int, c_out: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv_s1 = nn.Conv2d(c_in, c_out, 3, padding=dilation, dilation=dilation)
        self.bn_s1 = nn.BatchNorm2d(c_out)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H, W)."""
        return F.relu(self.bn_s1(self.conv_s1(x)))


def halved(x: Tensor) -> Tensor:
    """2x2 maximum."""
    return F.max_pool2d(x, 2, 2, ceil_mode=True)


def as_large(x: Tensor, other: Tensor) -> Tensor:
    """``x`` resized to the height and width of another tensor."""
    return F.interpolate(x, size=other.shape[2:], mode="bilinear")


class Block(nn.Module):
    """A residual U-block (figure 2): with pooling RSU-L, with dilation RSU-4F."""

    def __init__(self, depth: int, c_in: int, middle: int, c_out: int, *, dilated: bool) -> None:
        super().__init__()
        self.depth, self.dilated = depth, dilated
        self.rebnconvin = Layer(c_in, c_out)
        for i in range(1, depth + 1):
            dilation = 2 ** (i - 1) if dilated else 2 if i == depth else 1
            self.add_module(f"rebnconv{i}", Layer(c_out if i == 1 else middle, middle, dilation))
        for i in range(depth - 1, 0, -1):
            dilation = 2 ** (i - 1) if dilated else 1
            self.add_module(f"rebnconv{i}d", Layer(2 * middle, c_out if i == 1 else middle, dilation))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H, W)."""
        x = first = self.rebnconvin(x)
        kept: list[Tensor] = []
        for i in range(1, self.depth + 1):
            pooled = 1 < i < self.depth and not self.dilated
            x = getattr(self, f"rebnconv{i}")(halved(x) if pooled else x)
            kept.append(x)
        for i in range(self.depth - 1, 0, -1):
            x = as_large(x, kept[i - 1]) if x.shape != kept[i - 1].shape else x
            x = getattr(self, f"rebnconv{i}d")(torch.cat([x, kept[i - 1]], 1))
        result: Tensor = x + first
        return result


class U2Net(nn.Module):
    """RGB in [0, 1], ``(N, 3, H, W)`` -> the object's probability ``(N, 1, H, W)``, or logits of more classes.

    H and W must be multiples of ``config.divisor``.
    """

    def __init__(self, config: Scaled, *, maps: bool = False) -> None:
        super().__init__()
        self.config, self.maps = config, maps
        out, middle = config.width, max(1, config.width // 4)
        self.normalise = ImageNetNormalisation()
        for i, suffix in self.stages():
            c_in = 2 * out if suffix else out if i > 1 else config.channels_in
            depth = DEPTHS[i - 1] if i <= len(DEPTHS) else DILATED
            self.add_module(f"stage{i}{suffix}", Block(depth, c_in, middle, out, dilated=i > len(DEPTHS)))
        for i in range(1, STAGES + 1):
            self.add_module(f"side{i}", nn.Conv2d(out, config.classes, 3, padding=1))
        self.outconv = nn.Conv2d(STAGES * config.classes, config.classes, 1)

    @staticmethod
    def stages() -> Iterator[tuple[int, str]]:
        """Down and up again: 1 to 6, 5d to 1d."""
        yield from ((i, "") for i in range(1, STAGES + 1))
        yield from ((i, "d") for i in range(STAGES - 1, 0, -1))

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The fused map; with ``maps`` also those of every stage, the finest first."""
        x = self.normalise(image)
        kept: dict[int, Tensor] = {}
        for i, suffix in self.stages():
            if suffix:
                x = torch.cat([as_large(x, kept[i]), kept[i]], 1)
            elif i > 1:
                x = halved(x)
            x = kept[i] = getattr(self, f"stage{i}{suffix}")(x)
        sides = [getattr(self, f"side{i}")(kept[i]) for i in range(1, STAGES + 1)]
        sides = [sides[0], *(as_large(side, sides[0]) for side in sides[1:])]
        fused = object_or_classes(self.outconv(torch.cat(sides, 1)))
        return (fused, *map(object_or_classes, sides)) if self.maps else fused


SYSTEM = ScaledSystem(
    "a U²-Net", U2Net, Scaled(width=64, classes=1), first="stage1.rebnconvin.conv_s1.weight", head="side1.weight"
)
