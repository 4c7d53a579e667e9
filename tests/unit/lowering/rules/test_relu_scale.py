from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.unit.lowering.graphs import Function, Net, alone, conv, prove, stack

AFTER = ["batch_norm", "normalisation"]


@pytest.mark.parametrize("bias", [True, False])
def test_the_size_goes_into_the_convolution_the_sign_stays(bias: bool) -> None:
    module = stack(conv(bias=bias), nn.ReLU(), nn.BatchNorm2d(4))
    trial = alone("relu_scale", module, behind=AFTER)
    assert (trial.result.applied, trial.result.declined) == (1, {})
    assert trial.operators == trial.before
    affine = next(node for node in trial.module.graph.nodes if "channel_affine" in node.name)
    scale = getattr(trial.module, str(affine.args[1].target))
    assert set(scale.tolist()) <= {-1.0, 0.0, 1.0}
    assert scale[0] == 0.0
    assert -1.0 in scale.tolist()


def relu_read_twice(net: nn.ModuleList, x: Tensor) -> Tensor:
    """conv -> ReLU -> BN, whose ReLU somebody else reads as well."""
    y = F.relu(net[0](x))
    return net[1](y).mean((2, 3), keepdim=True) + y


def convolution_read_twice(net: nn.ModuleList, x: Tensor) -> Tensor:
    y = net[0](x)
    return net[1](F.relu(y)) + y


@pytest.mark.parametrize("forward", [relu_read_twice, convolution_read_twice])
def test_what_somebody_else_reads_stays(forward: object) -> None:
    module = Net(forward, conv(), nn.BatchNorm2d(4))  # type: ignore[arg-type]  # one of the two above
    assert alone("relu_scale", module, behind=AFTER).left("the ReLU's input or output is used elsewhere as well")
    prove(module)


def test_without_a_convolution_it_stays() -> None:
    module = stack(nn.MaxPool2d(2), nn.ReLU(), nn.BatchNorm2d(4))
    assert alone("relu_scale", module, behind=AFTER).left("no convolution before the ReLU")


def test_a_computed_weight_stays() -> None:
    module = Function(lambda x, weight: torch.conv2d(x, weight).relu() * 2)
    trial = alone("relu_scale", module, (1, 4, 4, 4), (3, 4, 1, 1), behind=AFTER)
    assert trial.left("the convolution's weight is computed")


def test_another_activation_is_no_match() -> None:
    assert alone("relu_scale", stack(conv(), nn.Sigmoid(), nn.BatchNorm2d(4)), behind=AFTER).left()
