from __future__ import annotations

import pytest
from torch import nn

from tests.unit.lowering.graphs import Net, alone, prove, sequence


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("out", [1, 3])
def test_becomes_a_product_per_pixel(out: int, bias: bool) -> None:
    trial = alone("channelwise_conv", Net(sequence, nn.Conv1d(1, out, 4, stride=4, bias=bias)))
    assert trial.result.applied == 1
    assert trial.operators - trial.before == {"reshape": 1, "permute": 1}
    (weight,) = (node.all_input_nodes[1] for node in trial.module.graph.nodes if node.name.startswith("conv1d"))
    assert weight.meta["val"].shape == (out, 4, 1)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.Conv1d(1, 3, 4), "kernel and stride differ: a spatial convolution"),
        (nn.Conv1d(1, 3, 4, stride=4, dilation=2), "padded, dilated or grouped"),
        (nn.Conv1d(1, 3, 4, stride=4, padding=2), "padded, dilated or grouped"),
        (nn.Conv1d(1, 3, 5, stride=5), "the sequence is not a whole number of kernels"),
    ],
)
def test_others_are_left_with_the_reason(layer: nn.Module, reason: str) -> None:
    module = Net(sequence, layer)
    assert alone("channelwise_conv", module).left(reason)
    prove(module)


@pytest.mark.parametrize("layer", [nn.Conv1d(1, 1, 1), nn.Conv1d(4, 3, 4, stride=4)], ids=["scalar", "wide"])
def test_ordinary_ones_are_no_match(layer: nn.Conv1d) -> None:
    assert alone("channelwise_conv", layer, (1, layer.in_channels, 48)).left()
