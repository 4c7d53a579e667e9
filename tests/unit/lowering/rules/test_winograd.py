from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import nn

from onenet.errors import CheckError
from onenet.lowering import arrange, lower_module
from onenet.lowering.driver import common_order, target_order
from onenet.lowering.rules import winograd
from tests.conftest import shake
from tests.unit.lowering.graphs import alone, convolutions, operators, result_of, same


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Winograd's method whatever it is worth."""
    monkeypatch.setattr(winograd, "LEAST_GAIN", -100)


PLACES: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "plain": (same(5, 7, 3, 3), (1, 5, 8, 12)),
    "without bias, batch of two": (same(3, 2, 3, 3, bias=False), (2, 3, 6, 4)),
    "from and to one channel": (same(1, 1, 3, 3), (1, 1, 10, 2)),
    "before ReLU": (nn.Sequential(same(4, 4, 3, 3), nn.ReLU()), (2, 4, 6, 8)),
    "no padding": (nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU()), (1, 4, 8, 10)),
    "padded by two": (nn.Conv2d(4, 4, 3, padding=2), (1, 4, 6, 8)),
    "padded on two sides only": (nn.Conv2d(4, 4, 3, padding=(0, 1)), (1, 4, 8, 8)),
}


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("target", ["tflite", "onnx"])
@pytest.mark.parametrize("name", PLACES)
def test_winograd_is_exact(name: str, target: str) -> None:
    module, shape = PLACES[name]
    found = lower_module(shake(module), (torch.zeros(shape),), (*common_order(), *target_order(target)))
    assert found.error <= 1e-13
    sizes = Counter(tuple(node.args[1].meta["val"].shape[2:]) for node in convolutions(found.module))
    assert sizes == {(1, 1): 16, (3, 3): 9, (3, 4): 3, (4, 3): 3, (4, 4): 1}  # products; transforms, all depthwise
    assert all(node.args[6] == shape[1] for node in convolutions(found.module) if node.args[1].meta["val"].shape[2] > 1)


DIRECT = {
    "a stride": (nn.Conv2d(4, 4, 3, padding=1, stride=2), (8, 8), "strided, dilated or grouped"),
    "a dilation": (nn.Conv2d(4, 4, 3, padding=2, dilation=2), (8, 8), "strided, dilated or grouped"),
    "groups": (nn.Conv2d(4, 4, 3, padding=1, groups=2), (8, 8), "strided, dilated or grouped"),
    "an odd width": (same(4, 4, 3, 3), (8, 9), "an odd height or width"),
}


@pytest.mark.parametrize("name", DIRECT)
def test_left_direct_with_the_reason(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, size, reason = DIRECT[name]
    monkeypatch.setattr(winograd, "LEAST_GAIN", -100)
    image = torch.zeros(1, 4, *size)
    found = arrange(lower_module(module, (image,)).module, (image,), "tflite")
    result = result_of("winograd", found.rules)
    assert (result.applied, result.declined) == (0, {reason: 1})
    assert alone("winograd", module, tuple(image.shape)).left(reason)
    assert operators(found.module) == {"conv2d": 1}


def test_wide_enough_by_itself() -> None:
    image = torch.zeros(1, 240, 16, 16)
    module = lower_module(same(240, 240, 3, 3), (image,)).module
    assert operators(arrange(module, (image,), "onnx").module)["conv2d"] == 32
    assert operators(arrange(module, (image,), "onnx", winograd=False).module) == {"conv2d": 1}
    assert operators(arrange(module, (image,), "coreml").module) == {"conv2d": 1}


@pytest.mark.parametrize(("channels", "side"), [(190, 16), (512, 4)], ids=["few channels", "few pixels"])
def test_where_it_gains_less_than_a_tenth_the_file_stays_small(channels: int, side: int) -> None:
    trial = alone("winograd", same(channels, channels, 3, 3), (1, channels, side, side))
    assert trial.left("too few channels or pixels to gain a tenth of its time")


MEASURED = {  # channels in, out and side -> time in ONNX Runtime over the direct convolution's
    (1024, 1024, 8): 0.85,
    (512, 512, 8): 0.83,
    (512, 512, 16): 0.69,
    (512, 512, 32): 0.67,
    (256, 256, 32): 0.73,
    (256, 256, 16): 0.70,
    (256, 256, 8): 0.95,
    (128, 128, 64): 1.05,
    (128, 128, 8): 1.34,
    (96, 96, 32): 0.94,
    (64, 256, 32): 1.11,
    (64, 64, 64): 1.24,
}


@pytest.mark.parametrize("layer", MEASURED)
def test_the_estimate_agrees_with_measurements(layer: tuple[int, int, int]) -> None:
    """On whether it gains a tenth."""
    c_in, c_out, side = layer
    assert (winograd.share_of_time(c_in, c_out, side**2) < 0.9) == (MEASURED[layer] < 0.9)


@pytest.mark.usefixtures("narrow")
def test_a_wrong_transform_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "WEIGHT", winograd.WEIGHT * 1.0001)
    image = torch.zeros(1, 4, 8, 8)
    with pytest.raises(CheckError, match="the form for tflite is not exact on this network"):
        arrange(lower_module(same(4, 4, 3, 3), (image,)).module, (image,), "tflite")


@pytest.mark.usefixtures("narrow")
def test_a_convolution_with_weights_of_an_input_stays() -> None:
    class Given(nn.Module):
        def forward(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
            return torch.conv2d(x, weight, padding=1)

    assert alone("winograd", Given(), (1, 4, 8, 8), (4, 4, 3, 3)).left("the weight is computed")


@pytest.mark.usefixtures("narrow")
def test_convolutions_share_the_transforms() -> None:
    trial = alone("winograd", nn.Sequential(same(4, 4, 3, 3), nn.ReLU(), same(4, 4, 3, 3)))
    assert trial.result.applied == 2
    kernels = {node.args[1] for node in convolutions(trial.module) if node.args[6:] == (4,)}
    assert len(kernels) == 16


def test_other_kernels_are_no_match() -> None:
    assert alone("winograd", nn.Sequential(same(4, 4, 1, 1), same(4, 4, 5, 5))).left()
