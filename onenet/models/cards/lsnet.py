"""LSNet, a network of 1D convolutions (doi 10.3389/fnbot.2023.1119231, 2023)."""

from __future__ import annotations

from onenet.models import ModelCard

MODELS = (
    ModelCard(
        "lsnet",
        "LSNet after its paper's abstract: 1D mixers, flow alignment, 0.6 M parameters",
        "onenet.models.lsnet",
        {},
        paper="doi 10.3389/fnbot.2023.1119231",
        order=30,
    ),
)
