"""U²-Net, small form (arXiv 2005.09007), with the seven maps that it is trained with."""

from __future__ import annotations

from torch import nn

from onenet.models.u2net import SYSTEM, U2Net


def make() -> nn.Module:
    return U2Net(SYSTEM.published, maps=True)
