"""Rules that compute convolutions otherwise: a linear chain as one, a wide 3x3 by Winograd's method."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from torch import nn
from torch.fx import GraphModule

from onenet.errors import CheckError
from onenet.lowering import LoweredModule, arrange, lower_module
from onenet.lowering.driver import common_order, target_order
from onenet.lowering.rules import linear_chain, winograd
from onenet.lowering.rules.linear_chain import Part
from onenet.targets import TARGETS
from tests.conftest import awkward_onenet, shake
from tests.unit.lowering.test_lowering import operators, rule


def multiplications(module: GraphModule) -> int:
    """Of all convolutions, for one image."""
    total = 0
    for node in module.graph.nodes:
        if node.op == "call_function" and node.target is torch.ops.aten.conv2d.default:
            weight = node.args[1].meta["val"]
            total += weight.numel() * math.prod(node.meta["val"].shape[2:])
    return total


def lowered(module: nn.Module, shape: tuple[int, ...]) -> LoweredModule:
    found = lower_module(shake(module), (torch.zeros(shape),))
    assert found.error <= 1e-12
    return found


def same(c_in: int, c_out: int, *kernel: int, bias: bool = True) -> nn.Conv2d:
    """A convolution whose output is as large as its input."""
    return nn.Conv2d(c_in, c_out, kernel, padding=tuple(size // 2 for size in kernel), bias=bias)


CHAINS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "OneNet's head": (
        nn.Sequential(same(16, 32, 1, 1), nn.PixelShuffle(2), *[same(8, 8, 3, 3) for _ in range(2)], same(8, 2, 3, 3)),
        (1, 16, 72, 80),
    ),
    "without biases": (nn.Sequential(same(4, 8, 3, 3, bias=False), same(8, 2, 3, 3, bias=False)), (2, 4, 61, 50)),
    "to one channel": (nn.Sequential(same(3, 9, 3, 3), same(9, 9, 3, 3), same(9, 1, 1, 1)), (1, 3, 22, 15)),
    "from one channel": (nn.Sequential(same(1, 8, 5, 5), same(8, 1, 3, 3)), (1, 1, 40, 61)),
    "pointwise at the end: nothing pads": (nn.Sequential(same(4, 16, 3, 3), same(16, 2, 1, 1)), (1, 4, 5, 7)),
    "pointwise without bias first: zeros stay zeros": (
        nn.Sequential(same(4, 16, 1, 1, bias=False), same(16, 2, 3, 3)),
        (1, 4, 6, 5),
    ),
    "along one axis": (nn.Sequential(same(4, 8, 1, 5), same(8, 8, 1, 3), same(8, 2, 1, 3)), (1, 4, 3, 40)),
    "down, then across": (nn.Sequential(same(6, 12, 3, 1), same(12, 2, 1, 3)), (2, 6, 21, 19)),
    "grouped in the middle": (
        nn.Sequential(same(4, 16, 3, 3), nn.Conv2d(16, 16, 3, padding=1, groups=2), same(16, 1, 3, 3)),
        (1, 4, 30, 32),
    ),
    "two shuffles": (
        nn.Sequential(same(4, 64, 3, 3), nn.PixelShuffle(2), same(16, 4, 3, 3), nn.PixelShuffle(2)),
        (1, 4, 33, 42),
    ),
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_linear_chain_becomes_one_convolution(name: str) -> None:
    module, shape = CHAINS[name]
    plain = multiplications(lower_module(module, (torch.zeros(shape),), ()).module)
    found = lowered(module, shape)
    assert (rule("linear_chain", found).applied, rule("linear_chain", found).declined) == (1, {})
    assert multiplications(found.module) <= linear_chain.WORTH * plain


@pytest.mark.parametrize("name", [name for name in CHAINS if "pointwise" in name])
def test_no_frame_where_no_padding_lies_between(name: str) -> None:
    module, shape = CHAINS[name]
    assert operators(lowered(module, shape).module) == {"conv2d": 1}


@pytest.mark.parametrize("target", TARGETS.cards())
@pytest.mark.parametrize("kernel", [None, 5])
def test_the_decoder_of_e4(kernel: int | None, target: str) -> None:
    """Exact with the rules of every target; on so small an image, much of it frame, a twentieth of the multiplications less."""
    image, model = torch.zeros(1, 3, 96, 128), awkward_onenet("e", width=12, kernel=kernel)
    found = lower_module(model, (image,), (*common_order(), *target_order(target)))
    assert found.error <= 1e-12
    assert rule("linear_chain", found).applied == 1
    without = lower_module(model, (image,), [each for each in common_order() if each is not linear_chain.RULE])
    assert multiplications(found.module) < 0.95 * multiplications(without.module)


LEFT = {
    "costs more as one": (nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), same(8, 8, 1, 1)), (1, 8, 16, 16)),
    "mostly frame": (nn.Sequential(same(4, 8, 3, 3), same(8, 2, 3, 3)), (1, 4, 8, 8)),
}
NO_CHAIN = {
    "an activation between": nn.Sequential(same(4, 8, 3, 3), nn.ReLU(), same(8, 2, 3, 3)),
    "strided": nn.Sequential(same(4, 8, 3, 3), nn.Conv2d(8, 2, 3, stride=2, padding=1)),
    "dilated": nn.Sequential(same(4, 8, 3, 3), nn.Conv2d(8, 2, 3, padding=2, dilation=2)),
    "without padding": nn.Sequential(same(4, 8, 3, 3), nn.Conv2d(8, 2, 3)),
    "reflected": nn.Sequential(same(4, 8, 3, 3), nn.Conv2d(8, 2, 3, padding=1, padding_mode="reflect")),
    "of even size": nn.Sequential(same(4, 8, 3, 3), nn.Conv2d(8, 2, 2, padding=1)),
    "alone": nn.Sequential(same(4, 8, 3, 3), nn.PixelShuffle(2)),
}


@pytest.mark.parametrize("name", LEFT)
def test_a_chain_that_is_cheaper_as_it_is_stays(name: str) -> None:
    module, shape = LEFT[name]
    assert rule("linear_chain", lowered(module, shape)).declined == {"one convolution would not multiply less": 1}


@pytest.mark.parametrize("name", NO_CHAIN)
def test_no_chain(name: str) -> None:
    found = rule("linear_chain", lowered(NO_CHAIN[name], (1, 4, 32, 32)))
    assert (found.applied, found.declined) == (0, {})


class ReadTwice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = same(4, 8, 3, 3), same(8, 2, 3, 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.first(x)
        return y, self.second(y)


def test_a_value_that_is_read_twice_is_computed() -> None:
    assert rule("linear_chain", lowered(ReadTwice(), (1, 4, 32, 32))).applied == 0


def test_a_frame_too_thin_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = linear_chain.measured

    def thin(*arguments: object) -> Part:
        part = measured(*arguments)  # type: ignore[arg-type]
        return Part(part.nodes, part.reach, (0, 0), part.factor, part.before, 0)

    monkeypatch.setattr(linear_chain, "measured", thin)
    with pytest.raises(CheckError, match="rule linear_chain changed the result by"):
        lowered(*CHAINS["OneNet's head"])


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Winograd's method whatever it is worth."""
    monkeypatch.setattr(winograd, "WORTH", 0)


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


def convolutions(module: GraphModule) -> list[torch.fx.Node]:
    return [node for node in module.graph.nodes if node.op == "call_function" and "conv2d" in str(node.target)]


DIRECT = {
    "a stride": (nn.Conv2d(4, 4, 3, padding=1, stride=2), (8, 8), "strided, dilated or grouped"),
    "a dilation": (nn.Conv2d(4, 4, 3, padding=2, dilation=2), (8, 8), "strided, dilated or grouped"),
    "groups": (nn.Conv2d(4, 4, 3, padding=1, groups=2), (8, 8), "strided, dilated or grouped"),
    "an odd width": (same(4, 4, 3, 3), (8, 9), "an odd height or width"),
    "few channels": (same(190, 200, 3, 3), (4, 4), "too few channels to pay for the transforms"),
}


@pytest.mark.parametrize("name", DIRECT)
def test_left_direct_with_the_reason(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, size, reason = DIRECT[name]
    if name != "few channels":
        monkeypatch.setattr(winograd, "WORTH", 0)
    image = torch.zeros(1, 190 if name == "few channels" else 4, *size)
    found = arrange(lower_module(module, (image,)).module, (image,), "tflite")
    (result,) = [each for each in found.rules if each.rule == "winograd"]
    assert (result.applied, result.declined) == (0, {reason: 1})
    assert operators(found.module) == {"conv2d": 1}


def test_wide_enough_by_itself() -> None:
    image = torch.zeros(1, 200, 4, 4)
    module = lower_module(same(200, 200, 3, 3), (image,)).module
    assert operators(arrange(module, (image,), "onnx").module)["conv2d"] == 32
    assert operators(arrange(module, (image,), "onnx", winograd=False).module) == {"conv2d": 1}
    assert operators(arrange(module, (image,), "coreml").module) == {"conv2d": 1}


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

    inputs = (torch.zeros(1, 4, 8, 8), torch.zeros(4, 4, 3, 3))
    found = lower_module(Given(), inputs, (*common_order(), winograd.RULE))
    assert rule("winograd", found).declined == {"the weight is computed": 1}


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), ((1, 5), (1, 2)), (2, 1), ((4, 3), 3)])
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")  # torch's, of its own speed
def test_named_paddings(padding: str, kernel: int | tuple[int, int], dilation: int | tuple[int, int]) -> None:
    """As torch pads them, so that BatchNorm can be folded and int8 finds a convolution that it knows."""
    net = nn.Sequential(nn.Conv2d(3, 4, kernel, padding=padding, dilation=dilation), nn.BatchNorm2d(4), nn.ReLU())
    found = lowered(net, (2, 3, 14, 15))
    assert set(operators(found.module)) - {"constant_pad_nd"} == {"conv2d", "relu"}
    assert all(node.target is torch.ops.aten.conv2d.default for node in convolutions(found.module))


def test_named_paddings_of_a_sequence() -> None:
    net = nn.Sequential(nn.Conv1d(3, 4, 5, padding="same"), nn.ReLU())
    assert rule("named_padding", lowered(net, (1, 3, 20))).applied == 1
