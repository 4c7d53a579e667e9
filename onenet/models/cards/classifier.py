"""Classifiers on OneNet encoders (arXiv 2411.09838, 2024)."""

from __future__ import annotations

from onenet.models import ModelCard

MODELS = (
    ModelCard(
        "onenet-e4-classifier",
        "1D encoder of 4 levels and one linear layer: classification",
        "onenet.models.classifier",
        {"layers": 4},
        paper="arXiv 2411.09838",
        order=15,
    ),
)
