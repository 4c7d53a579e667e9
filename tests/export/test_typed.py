"""Networks that name types, and outputs that are one value: every file gives what the network itself gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import onenet
from onenet.base.quiet import quiet
from onenet.models.build import build
from onenet.runtimes.artifact import open_artifact
from tests.conftest import smooth_images

SIZE = (16, 24)
IMAGES = np.round(smooth_images(2, 3, *SIZE) * 255).astype(np.float32) / np.float32(255)
"""Pixels as pictures have them: Core ML takes them in bytes."""


class Net(nn.Module):
    """A function of what two convolutions give."""

    def __init__(self, function: Callable[[nn.Module, Tensor, Tensor], object]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.function = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 1), function
        self.line = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> object:
        return self.function(self, x, self.first(x).relu())


def embedded(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """A sinusoidal embedding in float32, a norm "in float32 for safety", and a grid in the input's type."""
    scale = net.line(torch.arange(8, dtype=torch.float32)[None].sin())[:, :, None, None]
    y = y.float() * torch.rsqrt(y.float().var((2, 3), keepdim=True) + 1e-5)
    ramp = torch.linspace(-1, 1, x.shape[3], dtype=x.dtype)
    result: Tensor = net.last(y.to(x.dtype) * scale + ramp)
    return result


def picked(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Whole numbers and truth values beside floats, and half precision between."""
    channels = torch.tensor([2, 0, 1])
    result: Tensor = net.last(y.half().float() * (y > 0.1) / 3)[:, channels] + x.double().float()
    return result


TYPED = {"embedded": embedded, "picked": picked}


def run(path: Path, image: np.ndarray) -> dict[str, np.ndarray]:
    return open_artifact(path).run({"image": image[None]})


@pytest.mark.parametrize("name", TYPED)
@pytest.mark.parametrize("target", ["onnx", "tflite", "coreml"])
def test_a_network_that_names_types_is_written_for_every_target(name: str, target: str, tmp_path: Path) -> None:
    network = Net(TYPED[name]).eval()
    with quiet():
        model = onenet.lower(build(network, input_size=SIZE))
        artifact = onenet.export(model, target=target, out=tmp_path)  # type: ignore[operator]
    with torch.no_grad():
        expected = network(torch.from_numpy(IMAGES[:1])).numpy()
    (found,) = run(artifact.path, IMAGES[0]).values()
    rounded = 2e-3 if name == "picked" else 1e-4  # the file does not round to half
    np.testing.assert_allclose(found, expected, rtol=rounded, atol=rounded)


def twice(net: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    del x
    z = net.last(y)
    return z, z


def input_among_others(net: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    return x, net.last(y), x


ALIKE = {"twice": twice, "input among others": input_among_others}


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("target", ["onnx", "tflite", "coreml"])
@pytest.mark.parametrize("name", ALIKE)
def test_outputs_that_are_one_value_keep_their_names(name: str, target: str, precision: str, tmp_path: Path) -> None:
    network = Net(ALIKE[name]).eval()
    with quiet():
        model = onenet.lower(build(network, input_size=SIZE))
        given = onenet.calibrate(model, list(IMAGES)) if precision == "int8" else model
        artifact = onenet.export(given, target=target, precision=precision, out=tmp_path)  # type: ignore[operator]
    with torch.no_grad():
        expected = [each.numpy() for each in network(torch.from_numpy(IMAGES[:1]))]
    found = run(artifact.path, IMAGES[0])
    assert list(found) == [f"output_{place}" for place in range(len(expected))]
    allowed = 2e-5 if precision == "fp32" else 2e-2
    for a, b in zip(expected, found.values(), strict=True):
        assert float(np.abs(a - b).max()) <= allowed * float(np.abs(a).max())
