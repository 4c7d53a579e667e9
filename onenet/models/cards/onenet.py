"""OneNet, the 1D-convolutional U-Net of arXiv 2411.09838 (2024)."""

from __future__ import annotations

from onenet.models import ModelCard

BUILDER = "onenet.models.onenet"

MODELS = (
    ModelCard(
        "onenet-ed4",
        "1D encoder and 1D decoder, 4 levels: smallest and fastest",
        BUILDER,
        dict(variant="ed", layers=4),
        paper="arXiv 2411.09838",
        order=10,
    ),
    ModelCard(
        "onenet-e4",
        "1D encoder, 2D decoder, 4 levels: more accurate",
        BUILDER,
        dict(variant="e", layers=4),
        paper="arXiv 2411.09838",
        order=11,
    ),
    ModelCard(
        "onenet-ed5",
        "1D encoder and 1D decoder, 5 levels",
        BUILDER,
        dict(variant="ed", layers=5),
        paper="arXiv 2411.09838",
        order=12,
    ),
    ModelCard(
        "onenet-e5",
        "1D encoder, 2D decoder, 5 levels",
        BUILDER,
        dict(variant="e", layers=5),
        paper="arXiv 2411.09838",
        order=13,
    ),
)
