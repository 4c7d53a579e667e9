"""A sum and the ReLU behind it, as residual networks have them, are one int8 operator in every format."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import onenet
from onenet.base.quiet import quiet
from onenet.calibration.quantized import QuantizedModel
from onenet.runtimes.backends.litert import operators
from tests.conftest import enliven, smooth_images
from tests.export.optimized import optimized_operators

SIZE = (24, 32)
IMAGES = smooth_images(6, 3, *SIZE)


class Residual(nn.Module):
    """Two residual blocks; the second has a convolution in its shortcut."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(12, 3, 1)
        self.a, self.b = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 12, 3, 2, padding=1)
        self.shortcut = nn.Conv2d(8, 12, 1, 2)

    def forward(self, image: Tensor) -> Tensor:
        x = F.relu(self.first(image))
        x = F.relu(self.a(x) + x)
        return self.last(F.relu(self.b(x) + self.shortcut(x)))


@pytest.fixture(scope="module")
def quantized() -> QuantizedModel:
    net = Residual().eval()
    enliven(net, torch.from_numpy(IMAGES))
    with quiet():
        return onenet.calibrate(onenet.lower(onenet.build(net, input_size=SIZE)), list(IMAGES))


def test_tflite(quantized: QuantizedModel, tmp_path: Path) -> None:
    made = onenet.export(quantized, target="tflite", precision="int8", out=tmp_path)
    assert made.verification is not None and made.verification.passed
    counts = Counter(name for name, _ in operators(made.path))
    assert counts["CONV_2D"] == 5 and counts["ADD"] == 2
    assert counts["RELU"] == 0 and counts["QUANTIZE"] == counts["DEQUANTIZE"] == 1, counts


def test_onnx(quantized: QuantizedModel, tmp_path: Path) -> None:
    made = onenet.export(quantized, target="onnx", precision="int8", out=tmp_path)
    assert made.verification is not None and made.verification.passed is not False
    counts = optimized_operators(made.path, tmp_path)
    del counts["Transpose"]  # onnxruntime computes int8 with channels last on some CPUs
    assert counts == {"QuantizeLinear": 1, "QLinearConv": 5, "QLinearAdd": 2, "DequantizeLinear": 1}


def test_coreml(quantized: QuantizedModel, tmp_path: Path) -> None:
    made = onenet.export(quantized, target="coreml", precision="int8", out=tmp_path)
    assert made.verification is not None and made.verification.passed
