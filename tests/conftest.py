"""Fixtures that several folders share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from onenet.models.onenet import OneNet, OneNetConfig
from tests import shared

# Nets this small gain nothing from threads, and where another process holds a core, threads waiting for each other take
# 40 times as long: 325 s instead of 8 s for unit/test_calibration.py, beside a training run on two cores.
torch.set_num_threads(1)

HEED_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
"""First line of a program that a test interrupts: one started by a background job is born ignoring SIGINT."""


@pytest.fixture(scope="session", autouse=True)
def shared_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Where the workers of this test run find what one of them has made."""
    own = tmp_path_factory.getbasetemp()
    shared.FOLDER = (own if worker_id == "master" else own.parent) / "shared"
    shared.FOLDER.mkdir(exist_ok=True)
    return shared.FOLDER


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


@torch.no_grad()
def enliven(module: nn.Module, *example: Tensor) -> nn.Module:
    """Scale every convolution so that its outputs on ``example`` have mean 0 per channel and deviation 1 over all channels.

    Random weights let a signal die on its way: the output is constant, and equals any other constant to 1e-5. Where there is
    no bias, the mean stays. A convolution of one value an image, behind a mean over all of it, is left alone: scaling the
    little that two images differ by to 1 would enlarge every rounding before it as much.
    """

    def standardise(layer: nn.Module, _: object, result: Tensor) -> Tensor:
        if result[0, 0].numel() == 1:
            return result
        mean = result.mean([0, *range(2, result.dim())]) if layer.bias is not None else torch.zeros(result.shape[1])
        centred = result - mean.reshape([1, -1] + [1] * (result.dim() - 2))
        deviation = centred.square().mean().sqrt().clamp_min(1e-3)
        layer.weight.data /= deviation
        if layer.bias is not None:
            layer.bias.data.sub_(mean).div_(deviation)
        return centred / deviation

    kinds = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)
    hooks = [layer.register_forward_hook(standardise) for layer in module.modules() if isinstance(layer, kinds)]
    module(*example)
    for hook in hooks:
        hook.remove()
    return module


def awkward_onenet(variant: str, **options: object) -> OneNet:
    torch.manual_seed(0)
    settings = {"layers": 3, "width": 4, "classes": 3, "repeat": 2, "kernel": None, **options}
    config = OneNetConfig(variant, **settings)  # type: ignore[arg-type]  # options of the configuration
    model = enliven(shake(OneNet(config)), torch.from_numpy(smooth_images(2, config.channels_in, 32, 48)))
    assert isinstance(model, OneNet)
    return model


def smooth_images(count: int, channels: int, height: int, width: int) -> np.ndarray:
    """Smooth, asymmetric images, (count, channels, height, width) float32 in [0, 1]."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    waves = [np.sin(rng.uniform(2, 20) * x + rng.uniform(2, 20) * y + rng.uniform(0, 6)) for _ in range(count * channels)]
    return ((np.stack(waves).reshape(count, channels, height, width) + 1) / 2).astype(np.float32)


@pytest.fixture
def images() -> np.ndarray:
    """Eight smooth, asymmetric RGB images, (8, 3, 32, 48) float32 in [0, 1]."""
    return smooth_images(8, 3, 32, 48)
