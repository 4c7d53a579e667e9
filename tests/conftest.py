"""Fixtures that several folders share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from onenet.models.onenet import OneNet, OneNetConfig

GOLDEN = Path(__file__).parents[2] / "shared" / "golden"
"""Inputs and outputs of the published implementation; absent outside the authors' machines."""


def shake(module: nn.Module, seed: int = 1) -> nn.Module:
    """Statistics and scales as training leaves them, at their most awkward: negative and zero scales, wide variances."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        data = value.data
        if name.endswith("running_var"):
            data.uniform_(0.25, 4.0, generator=generator)
        elif name.endswith(("bn.weight", "norm.weight")):
            data.uniform_(-1.5, 1.5, generator=generator)
            data[0] = 0.0
        elif name.endswith(("running_mean", "bn.bias", "norm.bias")):
            data.normal_(generator=generator)
    return module.eval()


def awkward_onenet(variant: str, **options: object) -> OneNet:
    torch.manual_seed(0)
    settings = {"layers": 3, "width": 4, "classes": 3, "repeat": 2, "kernel": None, **options}
    model = shake(OneNet(OneNetConfig(variant, **settings)))  # type: ignore[arg-type]  # options of the configuration
    assert isinstance(model, OneNet)
    return model


@pytest.fixture
def images() -> np.ndarray:
    """Eight smooth, asymmetric RGB images, (8, 3, 32, 48) float32 in [0, 1]."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:32, 0:48] / 48
    waves = [np.sin(rng.uniform(2, 20) * x + rng.uniform(2, 20) * y + rng.uniform(0, 6)) for _ in range(24)]
    return ((np.stack(waves).reshape(8, 3, 32, 48) + 1) / 2).astype(np.float32)
