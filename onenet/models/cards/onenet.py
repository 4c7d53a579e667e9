"""OneNet, the 1D-convolutional U-Net of arXiv 2411.09838 (2024)."""

from __future__ import annotations

from onenet.models import ModelCard, Published

BUILDER = "onenet.models.onenet"
MIXED = "the paper's figures fit spatial convolutions in the decoder only: 22.92 and 799.01"
MISPRINT = "all else fits to the digit; 39.00 is probably 29.00 misprinted"

MODELS = (
    ModelCard(
        "onenet-ed4",
        "1D encoder and 1D decoder, 4 levels: smallest and fastest",
        BUILDER,
        dict(variant="ed", layers=4),
        paper="arXiv 2411.09838",
        order=10,
        published=Published(9.08, 36.30, 22.92, 799.01, MIXED),
    ),
    ModelCard(
        "onenet-e4",
        "1D encoder, 2D decoder, 4 levels: more accurate",
        BUILDER,
        dict(variant="e", layers=4),
        paper="arXiv 2411.09838",
        order=11,
        published=Published(16.39, 65.42, 78.42, 639.63),
    ),
    ModelCard(
        "onenet-ed5",
        "1D encoder and 1D decoder, 5 levels",
        BUILDER,
        dict(variant="ed", layers=5),
        paper="arXiv 2411.09838",
        order=12,
        published=Published(36.38, 145.47, 39.00, 885.00, MISPRINT),
    ),
    ModelCard(
        "onenet-e5",
        "1D encoder, 2D decoder, 5 levels",
        BUILDER,
        dict(variant="e", layers=5),
        paper="arXiv 2411.09838",
        order=13,
        published=Published(65.73, 262.63, 98.82, 656.41),
    ),
)
