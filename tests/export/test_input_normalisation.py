"""(x - mean) / std before a padded convolution: one addition in the float files, and nothing but convolutions in int8."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

import onenet
from onenet.base.quiet import quiet
from onenet.runtimes.backends.litert import operators

FACTORY = f"{__file__}:make"


class Normalised(nn.Module):
    """A mobile network's first layers."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1))
        self.stem, self.head = nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.Conv2d(16, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = (x - self.mean) / self.std  # type: ignore[operator]  # buffers
        return self.head(torch.relu(self.stem(x)))  # type: ignore[no-any-return]


def make() -> nn.Module:
    torch.manual_seed(0)
    return Normalised().eval()


def kinds(path: Path) -> Counter[str]:
    """Operators of a file, without those that a strided convolution's uneven padding and int8's ends need."""
    found = [name for name, _ in operators(path)] if path.suffix == ".tflite" else onnx_kinds(path)
    return Counter(name for name in found if name.upper() not in ("PAD", "RELU", "QUANTIZE", "DEQUANTIZE"))


def onnx_kinds(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node if "Linear" not in node.op_type]


@pytest.mark.parametrize(("target", "names"), [("tflite", ("ADD", "CONV_2D")), ("onnx", ("Add", "Conv"))])
def test_float_files_add_once(target: str, names: tuple[str, str], tmp_path: Path) -> None:
    with quiet():
        path = onenet.export(onenet.build(FACTORY, input_size=(32, 48)), target=target, out=tmp_path).path
    assert kinds(path) == {names[0]: 1, names[1]: 2}


@pytest.mark.parametrize("target", ["tflite", "onnx"])
def test_int8_keeps_the_mean_in_a_bias(target: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    with quiet():
        model = onenet.lower(onenet.build(FACTORY, input_size=(32, 48)))
        quantized = onenet.calibrate(model, list(generator.random((4, 3, 32, 48), dtype=np.float32)))
        path = onenet.export(quantized, target=target, out=tmp_path).path
    assert kinds(path) == ({"DEPTHWISE_CONV_2D": 1, "CONV_2D": 2} if target == "tflite" else {"Conv": 3})
