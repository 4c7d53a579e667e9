from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.unit.lowering.graphs import Function, Net, alone, conv, lowered, operators, prove, result_of, stack

AFTER = ["batch_norm", "normalisation"]


@pytest.mark.parametrize(
    "layer",
    [conv(), conv(kernel=3, padding=1, bias=False), conv(groups=2), nn.ConvTranspose2d(4, 4, 3, stride=2)],
    ids=["pointwise", "without bias", "grouped", "transposed"],
)
def test_into_the_layer_before(layer: nn.Module) -> None:
    trial = alone("fold_backward", stack(layer, nn.BatchNorm2d(4)), behind=AFTER)
    assert trial.result.applied == 1
    assert trial.before - trial.operators == {"channel_affine": 1}


def test_into_a_sequence_s_convolution() -> None:
    trial = alone("fold_backward", stack(nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4)), (1, 3, 9), behind=AFTER)
    assert trial.operators == {"conv1d": 1}


def read_behind_convolution(net: nn.ModuleList, x: Tensor) -> Tensor:
    y = net[0](x)
    return net[1](y) + y


def test_a_convolution_read_twice_stays() -> None:
    module = Net(read_behind_convolution, conv(), nn.BatchNorm2d(4))
    reason = "the layer's result is used without the affine as well"
    assert alone("fold_backward", module, behind=AFTER).left(reason)
    prove(module)


def test_a_grouped_transposed_convolution_stays() -> None:
    module = stack(nn.ConvTranspose2d(4, 4, 2, stride=2, groups=2), nn.BatchNorm2d(4))
    assert alone("fold_backward", module, behind=AFTER).left("a grouped transposed convolution")


def test_a_computed_weight_stays() -> None:
    module = Function(lambda x, weight: torch.conv2d(x, weight) * 2)
    assert alone("fold_backward", module, (1, 4, 4, 4), (3, 4, 1, 1), behind=AFTER).left("the layer's weight is computed")


def test_behind_anything_else_is_no_match() -> None:
    assert alone("fold_backward", stack(conv(), nn.ReLU(), nn.BatchNorm2d(4)), behind=AFTER).left()


def test_somebody_else_s_conv_relu_batchnorm_stack() -> None:
    module = stack(nn.Conv2d(3, 5, 1), nn.ReLU(), nn.BatchNorm2d(5), nn.Conv2d(5, 4, 2, stride=2), nn.BatchNorm2d(4), nn.ReLU())
    form = lowered(module, (1, 3, 8, 10))
    assert operators(form.module) == {"conv2d": 2, "relu": 2}
    assert result_of("fold_forward", form.rules).applied == 1
    assert result_of("fold_backward", form.rules).applied == 1


def moved(net: nn.ModuleList, x: Tensor) -> Tensor:
    """Tokens, whose channels are no longer axis 1."""
    return net[0](x).flatten(2).transpose(1, 2) * 0.35 + 0.5


def test_a_number_goes_past_moves_and_into_a_linear_layer() -> None:
    assert operators(lowered(Net(moved, nn.Conv2d(4, 6, 2, 2))).module) == {"conv2d": 1, "flatten": 1, "transpose": 1}
    tokens = (2, 12, 4)
    linear = Net(lambda net, x: (net[0](x).reshape(2, 12, 3, 2).transpose(1, 2) - 0.5) / 3, nn.Linear(4, 6, bias=False))
    assert operators(lowered(linear, tokens).module) == {"linear": 1, "reshape": 1, "transpose": 1}


def test_what_is_no_number_stays_behind_a_linear_layer() -> None:
    class Gain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.gain = nn.Linear(4, 6), nn.Parameter(torch.rand(12, 1))

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x) * self.gain

    trial = alone("fold_backward", Gain(), (2, 12, 4), behind=["normalisation"])
    assert trial.left("behind a linear layer or a reshape, and the channels differ")


def test_values_that_somebody_else_reads_stay_as_they_are() -> None:
    module = Net(lambda net, x: (lambda y: y.flatten(2) * 2 + y.flatten(2).relu())(net[0](x)), nn.Conv2d(4, 4, 1))
    reason = "the layer's result is used without the affine as well"
    assert alone("fold_backward", module, behind=["normalisation"]).left(reason)
