from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from onenet.lowering import lower_module
from tests.unit.lowering.graphs import Net, alone, lowered, operators, prove, result_of, sequence


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
def test_becomes_a_product_of_blocks(kernel: int, length: int) -> None:
    for module in (
        Sequence(kernel, reflect=kernel // 2),
        Sequence(kernel, reflect=kernel // 2, relu=False, bias=0),
        Sequence(kernel, padding=kernel // 2),
    ):
        form = lowered(module, (2, 1, length))
        assert result_of("spatial_conv", form.rules).applied == 1
        count = operators(form.module)
        assert not {"conv1d", "pad"} & set(count)
        assert (count["slice"], count["cat"], count["conv2d"]) == ((2, 1, 3) if module.reflect else (0, 0, 1))


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
def test_others_are_left_with_the_reason(module: nn.Module, length: int, reason: str) -> None:
    assert alone("spatial_conv", module, (1, 1, length)).left(reason)
    form = lower_module(module, (torch.zeros(1, 1, length),))
    assert operators(form.module)["conv1d"] == 1
    assert form.error <= 1e-12


def test_dilated_on_the_pixels_of_an_image() -> None:
    module = Net(sequence, nn.Conv1d(1, 1, 3, padding=2, dilation=2))
    assert alone("spatial_conv", module).left("dilated")
    prove(module)


@pytest.mark.parametrize(
    "layer", [nn.Conv1d(1, 1, 1), nn.Conv1d(1, 1, 3, stride=3), nn.Conv1d(1, 2, 3, padding=1)], ids=lambda layer: str(layer)
)
def test_channelwise_and_pointwise_ones_are_no_match(layer: nn.Module) -> None:
    assert alone("spatial_conv", layer, (1, 1, 48)).left()


def test_a_pad_that_two_convolutions_read_is_lowered_for_both() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv1d(1, 1, 9), nn.Conv1d(1, 1, 9)

        def forward(self, x: Tensor) -> Tensor:
            x = F.pad(x, (4, 4), mode="reflect")
            return self.a(x) + self.b(x)  # type: ignore[no-any-return]

    form = lower_module(Two(), (torch.zeros(1, 1, 48),))
    assert result_of("spatial_conv", form.rules).applied == 2
    assert "pad" not in operators(form.module)
