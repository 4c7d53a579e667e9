"""Networks that the field deploys: FFNet, U²-Net's small form, BASNet."""

from __future__ import annotations

from onenet.models import ModelCard

MODELS = (
    ModelCard(
        "ffnet34",
        "FFNet: ResNet-34 and an up-head",
        "onenet.models.ffnet",
        {},
        paper="arXiv 2206.08236",
        order=40,
    ),
    ModelCard(
        "u2netp",
        "U²-Net, small form: one object against its background",
        "onenet.models.u2net",
        {},
        paper="arXiv 2005.09007",
        order=41,
    ),
    ModelCard(
        "basnet",
        "BASNet: predicts one object's mask, then refines its boundary",
        "onenet.models.basnet",
        {},
        paper="arXiv 2101.04704",
        order=42,
    ),
)
