"""BASNet: Qin et al., CVPR 2019 and arXiv 2101.04704. It predicts one object's mask, then refines the mask's boundary.

The keys are those of https://github.com/xuebinqin/BASNet (MIT), so ``basnet.pth`` loads unchanged. As published, inputs are
divided by their largest value before ImageNet's normalisation; here white is 1 and only the normalisation is inside. The
published network gives eight maps, for training; deployed is the refined one, so the layers of the coarser maps
(``outconv2`` to ``outconv6``, ``outconvb``) are kept for the checkpoint and never run, nor is ``bn6d_2``.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from onenet.models.scaled import ImageNetNormalisation, Scaled, ScaledSystem, object_or_classes
from onenet.models.unet import RESNET_BLOCKS, ResNetBlock

LEVELS = 4
"""Of the refinement's U-Net."""
NORM_OF = {"6d_2": "5d_2"}
"""Layers that another layer's BatchNorm follows, as in the published code: its checkpoints are trained so."""


def halved(x: Tensor) -> Tensor:
    """2x2 maximum."""
    return F.max_pool2d(x, 2, 2, ceil_mode=True)


def doubled(x: Tensor) -> Tensor:
    """Twice the height and width."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear")


class Layers(nn.Module):
    """A network of convolutions, each with BatchNorm and ReLU behind it, under the names of the published code."""

    def add(self, name: str, c_in: int, c_out: int, dilation: int = 1) -> None:
        """Add ``convNAME`` and ``bnNAME``."""
        self.add_module(f"conv{name}", nn.Conv2d(c_in, c_out, 3, padding=dilation, dilation=dilation))
        self.add_module(f"bn{name}", nn.BatchNorm2d(c_out))

    def run(self, names: Iterable[str], x: Tensor) -> Tensor:
        """Apply those layers in turn."""
        for name in names:
            x = F.relu(getattr(self, f"bn{NORM_OF.get(name, name)}")(getattr(self, f"conv{name}")(x)))
        return x


def three(stage: str) -> list[str]:
    """Names of the three layers of a stage."""
    return [f"{stage}_{part}" for part in ("1", "m", "2")]


class Refinement(Layers):
    """A U-Net of one width whose result is added to the map that it is given."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(classes, width, 3, padding=1)
        for i in range(1, LEVELS + 2):
            self.add(str(i), width, width)
        for i in range(LEVELS, 0, -1):
            self.add(f"_d{i}", 2 * width, width)
        self.conv_d0 = nn.Conv2d(width, classes, 3, padding=1)

    def forward(self, mask: Tensor) -> Tensor:
        """(N, K, H, W) -> (N, K, H, W)."""
        x, kept = self.conv0(mask), []
        for i in range(1, LEVELS + 1):
            kept.append(self.run([str(i)], x))
            x = halved(kept[-1])
        x = self.run([str(LEVELS + 1)], x)
        for i in range(LEVELS, 0, -1):
            x = self.run([f"_d{i}"], torch.cat([doubled(x), kept.pop()], 1))
        refined: Tensor = mask + self.conv_d0(x)
        return refined


class BASNet(Layers):
    """RGB in [0, 1], ``(N, 3, H, W)`` -> the object's probability ``(N, 1, H, W)``, or logits of more classes.

    H and W must be multiples of ``config.divisor``.
    """

    def __init__(self, config: Scaled) -> None:
        super().__init__()
        self.config = config
        w, classes = config.width, config.classes
        self.normalise = ImageNetNormalisation()
        self.inconv, self.inbn = nn.Conv2d(config.channels_in, w, 3, padding=1), nn.BatchNorm2d(w)
        channels = [w * 2**i for i in range(len(RESNET_BLOCKS))]
        for i, (c, count) in enumerate(zip(channels, RESNET_BLOCKS, strict=True)):
            c_in = channels[max(i - 1, 0)]
            first = ResNetBlock(c_in, c, 2 if i else 1, wide=False)
            rest = (ResNetBlock(c, c, 1, wide=False) for _ in range(count - 1))
            self.add_module(f"encoder{i + 1}", nn.Sequential(first, *rest))
        top = channels[-1]
        for stage in (5, 6):
            for i in (1, 2, 3):
                self.add_module(f"resb{stage}_{i}", ResNetBlock(top, top, 1, wide=False))
        for name in three("bg"):
            self.add(name, top, top, dilation=2)
        ends = [*channels[:-1], top, top, top]  # channels that the features of stages 1 to 6 have
        for stage in range(6, 0, -1):
            c, c_out = ends[stage - 1], ends[max(stage - 2, 0)] if stage < 6 else top
            dilation = 2 if stage == 6 else 1
            first_name, middle_name, last_name = three(f"{stage}d")
            self.add(first_name, 2 * c, c)
            self.add(middle_name, c, c, dilation)
            self.add(last_name, c, c_out, dilation)
            self.add_module(f"outconv{stage}", nn.Conv2d(c_out, classes, 3, padding=1))
        self.outconvb = nn.Conv2d(top, classes, 3, padding=1)
        self.refunet = Refinement(classes, w)

    def forward(self, image: Tensor) -> Tensor:
        """RGB in [0, 1], (N, 3, H, W) -> (N, K, H, W)."""
        x = F.relu(self.inbn(self.inconv(self.normalise(image))))
        kept = []
        for stage in range(1, 7):
            if stage > 4:
                x = halved(x)
                x = nn.Sequential(*(getattr(self, f"resb{stage}_{i}") for i in (1, 2, 3)))(x)
            else:
                x = getattr(self, f"encoder{stage}")(x)
            kept.append(x)
        x = self.run(three("bg"), x)
        for stage in range(6, 0, -1):
            x = x if stage == 6 else doubled(x)
            x = self.run(three(f"{stage}d"), torch.cat([x, kept.pop()], 1))
        refined: Tensor = self.refunet(self.get_submodule("outconv1")(x))
        return object_or_classes(refined)


SYSTEM = ScaledSystem("a BASNet", BASNet, Scaled(width=64, classes=1), first="inconv.weight", head="outconv1.weight")
