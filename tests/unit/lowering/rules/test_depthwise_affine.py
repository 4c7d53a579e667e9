from __future__ import annotations

from torch import nn

from tests.unit.lowering.graphs import alone, convolutions, lowered, operators, stack

AFTER = ["batch_norm"]


def test_becomes_a_depthwise_convolution() -> None:
    trial = alone("depthwise_affine", nn.BatchNorm2d(4), behind=AFTER)
    assert (trial.result.applied, trial.operators) == (1, {"conv2d": 1})
    (node,) = convolutions(trial.module)
    assert node.args[6] == 4


def test_of_a_sequence() -> None:
    trial = alone("depthwise_affine", nn.BatchNorm1d(4), (2, 4, 9), behind=AFTER)
    assert (trial.result.applied, trial.operators) == (1, {"conv1d": 1})


def test_of_a_volume_stays() -> None:
    trial = alone("depthwise_affine", nn.BatchNorm3d(4), (2, 4, 3, 3, 3), behind=AFTER)
    assert trial.left("3 spatial axes")
    assert operators(lowered(nn.BatchNorm3d(4), (2, 4, 3, 3, 3)).module) == {"mul": 1, "add": 1}


def test_the_output_may_be_the_affine_itself() -> None:
    assert operators(lowered(stack(nn.ReLU(), nn.BatchNorm2d(3)), (1, 3, 4, 4)).module) == {"relu": 1, "conv2d": 1}
