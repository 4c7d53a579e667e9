"""Matrix, a system of one size. Nothing here imports PyTorch."""

from __future__ import annotations

from onenet.models import ModelCard

MODELS = (
    ModelCard(
        "toy-matrix",
        "one matrix product a pixel, with two needless minus signs",
        builder="tests.house.toys.matrix",  # onenet.models.matrix, if it were part of the product
        options={"classes": 3},
        paper="none",
        order=900,
    ),
)
