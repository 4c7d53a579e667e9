"""ESPCN (arXiv 1609.05158): super-resolution by tanh layers and a pixel shuffle."""

from __future__ import annotations

from torch import nn


def make() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 64, 5, padding=2), nn.Tanh(), nn.Conv2d(64, 32, 3, padding=1), nn.Tanh()),
        *(nn.Conv2d(32, 12, 3, padding=1), nn.PixelShuffle(2), nn.Sigmoid()),
    )
