"""Every rule: what it does to the operator list, that it is exact, and that it says why where it declines."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import Tensor, nn
from torch.fx import Node
from torch.nn import functional as F

import onenet.lowering as lowering
from onenet.errors import CheckError
from onenet.lowering import lower_module
from onenet.lowering.driver import RULES
from onenet.lowering.graph import Graph
from onenet.lowering.rules import transposed_conv
from tests.conftest import awkward_onenet, shake

CASES = [("ed", None), ("e", None), ("ed", 9), ("e", 3)]


def operators(module: nn.Module) -> Counter[str]:
    return Counter(
        str(node.target).removeprefix("aten.").split(".")[0]
        for node in module.graph.nodes  # type: ignore[union-attr,operator]  # a GraphModule
        if node.op == "call_function"
    )


def rule(name: str, lowered: lowering.LoweredModule) -> lowering.RuleResult:
    return next(each for each in lowered.rules if each.rule == name)


@pytest.mark.parametrize(("variant", "kernel"), CASES)
@pytest.mark.parametrize("shape", [(1, 3, 16, 24), (2, 3, 8, 8), (1, 3, 40, 8)])
def test_onenet_is_lowered_exactly(variant: str, kernel: int | None, shape: tuple[int, ...]) -> None:
    lowered = lower_module(awkward_onenet(variant, kernel=kernel), (torch.zeros(shape),))
    assert lowered.error <= 1e-12
    found = operators(lowered.module)
    assert not set(found) & {"batch_norm", "pad", "conv_transpose2d", "sub", "div", "mul", "add", "channel_affine"}
    if kernel is None:
        assert set(found) == {"conv2d", "relu", "pixel_shuffle", "cat"}


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("variant", ["ed", "e"])
def test_odd_channel_counts_and_one_channel(variant: str, channels: int) -> None:
    model = awkward_onenet(variant, channels_in=channels, width=3, classes=1, kernel=5)
    assert lower_module(model, (torch.zeros(1, channels, 16, 8),)).error <= 1e-12


@pytest.mark.parametrize("variant", ["ed", "e"])
def test_float32_result_equals_the_original(variant: str) -> None:
    model, x = awkward_onenet(variant), torch.rand(1, 3, 16, 24)
    with torch.no_grad():
        expected, found = model(x), lower_module(model, (x,)).module(x)
    assert float((expected - found).abs().max() / expected.abs().max()) <= 1e-5


class Affine(nn.Module):
    """A stack of what ``layers`` says, for one rule at a time."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)  # type: ignore[no-any-return]


class Norm(nn.BatchNorm2d):
    """Named so that ``shake`` gives it negative and zero scales."""


def stack(*layers: nn.Module) -> nn.Module:
    module = nn.Module()
    module.norm = nn.Identity()
    return shake(Affine(*layers))


def test_someone_elses_conv_relu_batchnorm_stack() -> None:
    module = stack(nn.Conv2d(3, 5, 1), nn.ReLU(), nn.BatchNorm2d(5), nn.Conv2d(5, 4, 2, stride=2), nn.BatchNorm2d(4), nn.ReLU())
    lowered = lower_module(module, (torch.zeros(1, 3, 8, 10),))
    assert operators(lowered.module) == {"conv2d": 2, "relu": 2}
    assert rule("fold_forward", lowered).applied == 1
    assert rule("fold_backward", lowered).applied == 1


def test_zero_padding_keeps_the_affine_and_says_why() -> None:
    module = stack(nn.Conv2d(3, 5, 1), nn.ReLU(), nn.BatchNorm2d(5), nn.Conv2d(5, 4, 3, padding=1))
    lowered = lower_module(module, (torch.zeros(1, 3, 8, 10),))
    assert rule("fold_forward", lowered).declined == {"followed by a zero-padded convolution: exact except at the border": 1}
    assert rule("depthwise_affine", lowered).applied == 1
    assert lowered.error <= 1e-12


def test_batchnorm_in_training_mode_is_declined() -> None:
    class Live(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.batch_norm(x, None, None, training=True)

    lowered = lower_module(Live(), (torch.zeros(2, 3, 4, 4),))
    assert rule("batch_norm", lowered).declined == {"normalises with the statistics of the batch": 1}
    assert "batch_norm" in operators(lowered.module)


@pytest.mark.parametrize("mean", [0.5, torch.tensor([0.4, 0.5, 0.6]).reshape(3, 1, 1), torch.rand(1, 3, 1, 1)])
def test_normalisation_by_number_or_per_channel(mean: float | Tensor) -> None:
    class Normalised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)
            self.register_buffer("mean", torch.as_tensor(mean), persistent=False)

        def forward(self, x: Tensor) -> Tensor:
            m = mean if isinstance(mean, float) else self.mean
            return self.conv((x - m) / 0.225 * 2 + 1)  # type: ignore[no-any-return]

    lowered = lower_module(Normalised(), (torch.zeros(1, 3, 4, 4),))
    assert operators(lowered.module) == {"conv2d": 1}


def test_constants_that_vary_over_the_image_are_left_alone() -> None:
    class Position(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("grid", torch.rand(4, 4))

        def forward(self, x: Tensor) -> Tensor:
            return x + self.grid  # type: ignore[no-any-return]

    lowered = lower_module(Position(), (torch.zeros(1, 3, 4, 4),))
    assert operators(lowered.module) == {"add": 1}


@pytest.mark.parametrize(("factor", "bias"), [(2, True), (3, False)])
def test_transposed_convolution_without_overlap(factor: int, bias: bool) -> None:
    module = stack(nn.ConvTranspose2d(5, 3, factor, stride=factor, bias=bias))
    lowered = lower_module(module, (torch.zeros(2, 5, 4, 6),))
    assert operators(lowered.module) == {"conv2d": 1, "pixel_shuffle": 1}


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.ConvTranspose2d(4, 4, 3, stride=2, padding=1), "kernel and stride differ: outputs overlap or leave gaps"),
        (nn.ConvTranspose2d(4, 4, 2, stride=2, groups=2), "padded, grouped or dilated"),
    ],
)
def test_other_transposed_convolutions_are_declined(layer: nn.Module, reason: str) -> None:
    lowered = lower_module(stack(layer), (torch.zeros(1, 4, 4, 4),))
    assert rule("transposed_conv", lowered).declined == {reason: 1}
    assert operators(lowered.module) == {"conv_transpose2d": 1}


class Sequence(nn.Module):
    """[reflect pad ->] Conv1d(1 -> 1, k) [-> ReLU] on a sequence."""

    def __init__(self, kernel: int, *, reflect: int = 0, relu: bool = True, **options: int) -> None:
        super().__init__()
        self.reflect, self.relu = reflect, relu
        self.conv = nn.Conv1d(1, 1, kernel, **options)  # type: ignore[arg-type]  # options are padding, dilation, bias

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (self.reflect, self.reflect), mode="reflect") if self.reflect else x
        x = self.conv(x)
        return F.relu(x) if self.relu else x


@pytest.mark.parametrize("kernel", [3, 9, 31])
@pytest.mark.parametrize("length", [16, 32, 160])
def test_spatial_convolution_becomes_a_product_of_blocks(kernel: int, length: int) -> None:
    for module in (
        Sequence(kernel, reflect=kernel // 2),
        Sequence(kernel, reflect=kernel // 2, relu=False, bias=0),
        Sequence(kernel, padding=kernel // 2),
    ):
        lowered = lower_module(shake(module), (torch.zeros(2, 1, length),))
        assert lowered.error <= 1e-12
        assert rule("spatial_conv", lowered).applied == 1
        found = operators(lowered.module)
        assert not {"conv1d", "pad"} & set(found)
        assert (found["slice"], found["cat"], found["conv2d"]) == ((2, 1, 3) if module.reflect else (0, 0, 1))


@pytest.mark.parametrize(
    ("module", "length", "reason"),
    [
        (Sequence(33, reflect=16), 64, "the kernel reaches further than a block of 16"),
        (Sequence(9, reflect=4), 40, "the sequence is not a multiple of 16"),
        (Sequence(9, reflect=3), 32, "the output is not as long as the input"),
        (Sequence(9), 32, "the output is not as long as the input"),
        (Sequence(4, padding=2), 32, "the output is not as long as the input"),
        (Sequence(3, padding=2, dilation=2), 32, "dilated"),
    ],
)
def test_other_spatial_convolutions_are_declined(module: nn.Module, length: int, reason: str) -> None:
    lowered = lower_module(module, (torch.zeros(1, 1, length),))
    assert rule("spatial_conv", lowered).declined == {reason: 1}
    assert operators(lowered.module)["conv1d"] == 1
    assert lowered.error <= 1e-12


def test_a_pad_that_two_convolutions_read_is_lowered_for_both() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv1d(1, 1, 9), nn.Conv1d(1, 1, 9)

        def forward(self, x: Tensor) -> Tensor:
            x = F.pad(x, (4, 4), mode="reflect")
            return self.a(x) + self.b(x)  # type: ignore[no-any-return]

    lowered = lower_module(Two(), (torch.zeros(1, 1, 48),))
    assert rule("spatial_conv", lowered).applied == 2
    assert "pad" not in operators(lowered.module)


@pytest.mark.parametrize("padding", [(4, 4), (1, 3), (0, 2)])
def test_reflect_pad_becomes_slices(padding: tuple[int, int]) -> None:
    lowered = lower_module(stack(nn.ReflectionPad1d(padding)), (torch.zeros(2, 1, 9),))
    assert operators(lowered.module) == {"slice": sum(padding), "cat": 1}
    assert lowered.error == 0.0


def test_zero_pad_and_2d_reflect_pad_are_left_alone() -> None:
    lowered = lower_module(stack(nn.ReflectionPad2d(1), nn.ZeroPad2d(1)), (torch.zeros(1, 1, 4, 4),))
    assert rule("reflect_pad", lowered).applied == 0


def test_affine_through_unshuffle_and_concat_of_a_foreign_network() -> None:
    class SuperResolution(nn.Module):
        """Conv -> ReLU -> BatchNorm, unshuffle, concat, 1x1, depth to space: other people's parts in another order."""

        def __init__(self) -> None:
            super().__init__()
            self.a, self.bn = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
            self.b, self.c = nn.Conv2d(16, 6, 1), nn.Conv2d(22, 12, 1)

        def forward(self, x: Tensor) -> Tensor:
            down = F.pixel_unshuffle(self.bn(F.relu(self.a(x))), 2)
            return F.pixel_shuffle(self.c(torch.cat([F.relu(self.b(down)), down], 1)), 2)

    lowered = lower_module(shake(SuperResolution()), (torch.zeros(1, 3, 8, 12),))
    assert operators(lowered.module) == {"conv2d": 3, "relu": 2, "pixel_unshuffle": 1, "cat": 1, "pixel_shuffle": 1}
    assert rule("strided_conv", lowered).applied == 1
    assert rule("strided_conv", lowered).declined == {"followed by cat, not by a convolution": 1}
    assert lowered.error <= 1e-12


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_unshuffle_and_pointwise_become_one_strided_convolution(factor: int, channels: int) -> None:
    module = stack(nn.PixelUnshuffle(factor), nn.Conv2d(channels * factor * factor, 5, 1))
    lowered = lower_module(module, (torch.zeros(2, channels, 2 * factor, 3 * factor),))
    assert operators(lowered.module) == {"conv2d": 1}
    assert lowered.error <= 1e-12


def test_unshuffle_before_a_larger_convolution_stays() -> None:
    lowered = lower_module(stack(nn.PixelUnshuffle(2), nn.Conv2d(12, 5, 3)), (torch.zeros(1, 3, 12, 12),))
    assert rule("strided_conv", lowered).declined == {"followed by a convolution other than 1x1": 1}
    assert operators(lowered.module) == {"pixel_unshuffle": 1, "conv2d": 1}


def test_the_output_may_be_the_affine_itself() -> None:
    lowered = lower_module(stack(nn.ReLU(), nn.BatchNorm2d(3)), (torch.zeros(1, 3, 4, 4),))
    assert operators(lowered.module) == {"relu": 1, "conv2d": 1}


def test_a_wrong_rule_is_caught_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    original = transposed_conv.RULE.rewrite

    def wrong(graph: Graph, place: Node) -> None:
        original(graph, place)
        for name, value in graph.module.named_buffers():
            if name.startswith("lowered_") and value.dim() == 4:
                value.copy_(value.flip(0))  # the channel order of the shuffle, reversed

    monkeypatch.setattr(transposed_conv.RULE, "rewrite", wrong)
    with pytest.raises(CheckError, match="rule transposed_conv changed the result"):
        lower_module(stack(nn.ConvTranspose2d(3, 3, 2, stride=2)), (torch.zeros(1, 3, 4, 4),))


@pytest.mark.parametrize("name", RULES.cards())
def test_every_rule_starts_with_its_before_and_after(name: str) -> None:
    assert " -> " in RULES.cards()[name].form
