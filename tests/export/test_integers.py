"""Activations that runtimes have integer kernels for: each format computes them so, and gives what the simulation gives."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import onenet
from onenet.base.quiet import quiet
from onenet.calibration.quantized import QuantizedModel
from onenet.exporters.layers import Reference, compare
from onenet.exporters.pipeline import make_job
from onenet.runtimes.backends.litert import operators
from onenet.runtimes.layers import describe
from tests.conftest import enliven, smooth_images
from tests.export.fidelity import check
from tests.export.optimized import optimized_operators
from tests.shared import few

SIZE = (16, 24)
IMAGES = smooth_images(8, 3, *SIZE)
TARGETS = ("tflite", "onnx", "coreml")

FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], dict[str, int], dict[str, int]]] = {
    "SiLU": (F.silu, {"LOGISTIC": 1, "MUL": 1}, {"QLinearSigmoid": 1, "QLinearMul": 1}),
    "hard-swish": (F.hardswish, {"ADD": 1, "MUL": 2}, {"QLinearAdd": 1, "QLinearMul": 1}),
    "hard sigmoid": (F.hardsigmoid, {"ADD": 1, "MUL": 1}, {"QLinearAdd": 1}),
    "tanh": (torch.tanh, {"TANH": 1}, {"QLinearSigmoid": 1}),
    "squeeze and excite": (
        lambda x: x * F.hardsigmoid(x.mean((2, 3), keepdim=True)),
        {"MEAN": 1, "ADD": 1, "MUL": 2},
        {"ReduceMean": 1, "QLinearAdd": 1, "QLinearMul": 1},
    ),
}
"""A function, and what TFLite and onnxruntime compute it by."""
ENDS_OF_FILES = {"CONV_2D", "QUANTIZE", "DEQUANTIZE", "QLinearConv", "QuantizeLinear", "DequantizeLinear", "Transpose"}


class Between(nn.Module):
    """A function between two layers."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.function = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 1), function
        with torch.no_grad():
            self.first.weight.mul_(8)

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.last(self.function(self.first(image)))
        return result


def quantized(network: nn.Module) -> QuantizedModel:
    with quiet():
        return onenet.calibrate(onenet.lower(onenet.build(network.eval(), input_size=SIZE)), list(IMAGES))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_tflite_holds_integer_operators(name: str, tmp_path: Path) -> None:
    function, expected, _ = FUNCTIONS[name]
    made = onenet.export(quantized(Between(function)), target="tflite", precision="int8", out=tmp_path)
    assert made.verification is not None and made.verification.passed
    counts = Counter(kind for kind, _ in operators(made.path))
    assert {kind: count for kind, count in counts.items() if kind not in ENDS_OF_FILES} == expected
    assert counts["QUANTIZE"] == counts["DEQUANTIZE"] == 1, "at the ends alone"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_onnxruntime_has_kernels_for_them(name: str, tmp_path: Path) -> None:
    function, _, expected = FUNCTIONS[name]
    made = onenet.export(quantized(Between(function)), target="onnx", precision="int8", out=tmp_path)
    assert made.verification is not None and made.verification.passed is not False
    counts = optimized_operators(made.path, tmp_path)
    assert {kind: count for kind, count in counts.items() if kind not in ENDS_OF_FILES} == expected


@pytest.mark.parametrize(("name", "last", "target"), few(itertools.product(FUNCTIONS, (False, True), TARGETS), 4))
def test_every_format_is_as_good_as_the_simulation(name: str, last: bool, target: str, tmp_path: Path) -> None:
    function = FUNCTIONS[name][0]
    network = Between(function)
    if last:
        network.last = nn.Identity()  # type: ignore[assignment]
    check(network, target, "int8", tmp_path)


class Mobile(nn.Module):
    """Two blocks of a mobile network, each kind of activation in it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.deep, self.last = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 3, 1)
        self.squeeze, self.excite = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = F.hardswish(self.first(image))
        gate = F.hardsigmoid(self.excite(F.relu(self.squeeze(x.mean((2, 3), keepdim=True)))))
        return self.last(F.silu(self.deep(x * gate)) + torch.tanh(x))


@functools.cache
def mobile() -> QuantizedModel:
    network = Mobile().eval()
    enliven(network, torch.from_numpy(IMAGES))
    return quantized(network)


@pytest.mark.parametrize("target", TARGETS)
def test_every_layer_is_right_and_compared_with_its_own_in_float(target: str, tmp_path: Path) -> None:
    """int8 has sums and products that float has not: the numbers in names are others."""
    path = onenet.export(mobile(), target=target, precision="int8", out=tmp_path).path
    profile = compare(Reference(make_job(mobile(), target, "int8", "float")), path)
    assert profile.passed, describe(profile)
    known = [layer for layer in profile.layers if layer.float_db is not None]
    assert len(known) >= 9
    assert all(layer.float_db is not None and layer.float_db > 15 for layer in known), [(e.name, e.float_db) for e in known]


# --- ends ---------------------------------------------------------------------

ENDS: dict[str, tuple[Callable[[Tensor], Tensor], dict[str, int]]] = {
    "sigmoid": (torch.sigmoid, {"LOGISTIC": 1}),
    "hard sigmoid": (F.hardsigmoid, {"ADD": 1, "MUL": 1}),
    "tanh": (torch.tanh, {"TANH": 1}),
}


def ended(name: str) -> nn.Module:
    """A network whose results fill little of the scale that is fixed for its last operator."""
    network = Between(torch.relu)
    network.last = nn.Sequential(nn.Conv2d(8, 3, 1), Last(ENDS[name][0]))  # type: ignore[assignment]
    return network


class Last(nn.Module):
    """A function of small values."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(0.2 * x)


@pytest.mark.parametrize(("name", "target"), few(itertools.product(ENDS, TARGETS), 4))
def test_an_end_on_a_scale_of_its_own(name: str, target: str, tmp_path: Path) -> None:
    made = quantized(ended(name))
    assert [site for site in made.record.sites.values() if site.scale == pytest.approx(made.outputs[0][0])], made.outputs  # type: ignore[index]
    exported = onenet.export(made, target=target, precision="int8", out=tmp_path)
    assert exported.verification is not None and exported.verification.passed is not False
    if target == "tflite":
        counts = Counter(kind for kind, _ in operators(exported.path))
        assert {kind: count for kind, count in counts.items() if kind not in ENDS_OF_FILES} == ENDS[name][1]
    check(ended(name), target, "int8", tmp_path / "again")


# --- weights that several layers read -------------------------------------------


class Twice(nn.Module):
    """One layer four times."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.again = nn.Conv2d(3, 64, 3, padding=1), nn.Conv2d(64, 64, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.first(image).relu()
        for _ in range(4):
            x = self.again(x).relu()
        return x


@pytest.mark.parametrize("target", TARGETS)
def test_a_weight_is_stored_once(target: str, tmp_path: Path) -> None:
    network = Twice().eval()
    enliven(network, torch.from_numpy(IMAGES))
    made = onenet.export(quantized(network), target=target, precision="int8", out=tmp_path)
    weights = network.again.weight.numel()
    manifest = 30_000  # and what else is no weight
    assert weights < made.bytes < 2 * weights + manifest < 4 * weights, made.bytes
    assert made.verification is not None and made.verification.passed is not False


class Many(nn.Module):
    """Activations that stay float and read one value: TFLite transposes it for some of them, under another's name."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.first(image).relu()
        result: Tensor = self.last(F.hardswish(x) + F.silu(x) + F.gelu(x) + F.mish(x) + F.elu(x) + F.softplus(x))
        return result


@pytest.mark.parametrize("target", TARGETS)
def test_a_transpose_is_not_taken_for_the_operator_that_it_is_named_after(target: str, tmp_path: Path) -> None:
    made = onenet.export(quantized(Many()), target=target, precision="int8", out=tmp_path)
    assert made.verification is not None and made.verification.passed
    (layers,) = [each for each in made.verification.checks if each.name == "layers"]
    assert layers.passed
