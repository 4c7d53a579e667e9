"""SegOne, text-conditioned diffusion with 1D convolutions (proposal, 2024)."""

from __future__ import annotations

from onenet.models import ModelCard

MODELS = (
    ModelCard(
        "segone",
        "SegOne: one denoiser step, given an image, a noisy mask, a noise level and a text",
        "onenet.models.segone",
        {},
        paper="proposal",
        order=50,
    ),
)
