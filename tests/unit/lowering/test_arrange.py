"""The form for each target: only moved values and reordered channels, exact in float64 and on a calibrated program."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.nn import functional as F

import onenet
from onenet.base.quiet import quiet
from onenet.calibration.quantized import QuantizedModel
from onenet.errors import CheckError
from onenet.lowering import arrange, lower_module
from onenet.lowering.driver import common_order, target_order
from onenet.lowering.graph import Graph
from onenet.lowering.operators import QUANTIZE
from onenet.lowering.rules import pixel_order
from onenet.targets import TARGETS
from tests.conftest import awkward_onenet, shake
from tests.unit.lowering.test_lowering import operators

CASES = [("ed", None), ("e", None), ("ed", 9), ("e", 3)]
PIXEL_OPERATORS = {"pixel_shuffle", "pixel_unshuffle"}


@pytest.mark.parametrize("target", TARGETS.cards())
@pytest.mark.parametrize(("variant", "kernel"), CASES)
@pytest.mark.parametrize("shape", [(1, 3, 16, 24), (2, 1, 16, 8)])
def test_exact_in_float64(variant: str, kernel: int | None, shape: tuple[int, ...], target: str) -> None:
    model = awkward_onenet(variant, kernel=kernel, channels_in=shape[1])
    lowered = lower_module(model, (torch.zeros(shape),), (*common_order(), *target_order(target)))
    assert lowered.error <= 1e-12


@pytest.mark.parametrize("target", ["tflite", "onnx"])
@pytest.mark.parametrize(("variant", "kernel"), CASES)
def test_no_tensor_has_more_than_four_axes(variant: str, kernel: int | None, target: str) -> None:
    image = torch.zeros(1, 3, 32, 32)
    module = arrange(lower_module(awkward_onenet(variant, kernel=kernel), (image,)).module, (image,), target).module
    assert not PIXEL_OPERATORS & set(operators(module))
    assert max(node.meta["val"].dim() for node in module.graph.nodes if "val" in node.meta) <= 4


def test_core_ml_keeps_its_pixel_operators() -> None:
    image = torch.zeros(1, 3, 32, 32)
    lowered = lower_module(awkward_onenet("ed", kernel=9), (image,)).module
    found = operators(arrange(lowered, (image,), "coreml").module)
    assert found == operators(lowered)
    assert set(found) >= PIXEL_OPERATORS


def arranged(module: nn.Module, shape: tuple[int, ...], target: str = "tflite") -> tuple[Counter[str], GraphModule]:
    """The operators of the target's form; its outputs are compared with the plain module's."""
    image = torch.rand(shape)
    found = arrange(lower_module(module, (image,)).module, (image,), target).module
    with torch.no_grad():
        torch.testing.assert_close(found(image), module.eval()(image), rtol=1e-5, atol=1e-5)
    return operators(found), found


class Head(nn.Module):
    """A super-resolution head of somebody else's: conv -> ReLU -> BatchNorm -> depth to space."""

    def __init__(self, factor: int, *, read_twice: bool = False) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 3 * factor * factor, 3, padding=1), nn.BatchNorm2d(3 * factor * factor)
        self.factor, self.read_twice = factor, read_twice

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn(F.relu(self.conv(x)))
        up = F.pixel_shuffle(y, self.factor)
        return up + y.mean() if self.read_twice else up


@pytest.mark.parametrize("factor", [2, 3])
def test_a_shuffle_behind_a_convolution_is_one_move_of_rows(factor: int) -> None:
    found, _ = arranged(shake(Head(factor)), (2, 3, 6, 10))
    assert found["permute"] == 3  # one of rows; those to NHWC and back meet the converter's own
    assert found["conv2d"] == 2  # the convolution, and the affine behind the ReLU


def test_channels_that_somebody_else_reads_keep_their_order() -> None:
    found, _ = arranged(shake(Head(2, read_twice=True)), (1, 3, 6, 10))
    assert found["permute"] == 4


@pytest.mark.parametrize("factor", [2, 3])
def test_shuffle_and_unshuffle_of_an_image_without_a_convolution(factor: int) -> None:
    down, _ = arranged(nn.Sequential(nn.PixelUnshuffle(factor), nn.ReLU()), (2, 3, 4 * factor, 5 * factor))
    up, _ = arranged(nn.Sequential(nn.PixelShuffle(factor), nn.ReLU()), (2, 3 * factor * factor, 4, 5))
    for found in (down, up):
        assert not PIXEL_OPERATORS & set(found)


def test_a_wrong_order_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_order, "reordered", lambda *arguments: arguments[1])  # the node as it is
    image = torch.rand(1, 3, 8, 8)
    with pytest.raises(CheckError, match=r"the form for onnx is not exact .*: its results differ by 1\.\de\+00"):
        arrange(lower_module(Head(2), (image,)).module, (image,), "onnx")


@pytest.fixture(scope="module", params=CASES, ids=str)
def calibrated(request: pytest.FixtureRequest) -> QuantizedModel:
    variant, kernel = request.param
    with quiet():
        model = onenet.lower(onenet.build(awkward_onenet(variant, kernel=kernel), input_size=(32, 48)))
        return onenet.calibrate(model, np.random.default_rng(0).random((4, 3, 32, 48), np.float32))


def scales(module: nn.Module) -> set[tuple[object, ...]]:
    assert isinstance(module, GraphModule)
    return {tuple(node.args[1:]) for node in module.graph.nodes if node.target is QUANTIZE}


@pytest.mark.parametrize("target", ["tflite", "onnx"])
def test_a_calibrated_program_keeps_its_scales_and_its_results(calibrated: QuantizedModel, target: str) -> None:
    image = torch.rand(1, 3, 32, 48)
    for module in (calibrated.reference, calibrated.open_form):
        form = arrange(module, calibrated.model.example(), target).module
        assert not PIXEL_OPERATORS & set(operators(form))
        assert scales(form) <= scales(module)
        with torch.no_grad():
            expected, found = module(image), form(image)
        for a, b in zip(expected, found, strict=True):
            assert torch.equal(a, b)


def test_the_calibrated_program_itself_is_left_alone(calibrated: QuantizedModel) -> None:
    before = str(calibrated.reference.graph)
    arrange(calibrated.reference, calibrated.model.example(), "tflite")
    assert str(calibrated.reference.graph) == before


def test_a_graph_of_a_calibrated_program_knows_every_shape(calibrated: QuantizedModel) -> None:
    assert isinstance(calibrated.open_form, GraphModule)
    for node in Graph.of(calibrated.open_form).module.graph.nodes:
        assert node.op == "output" or node.meta.get("val") is not None
