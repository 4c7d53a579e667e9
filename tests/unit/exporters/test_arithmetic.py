"""A network in float64, in half precision and with other roundings, beside the same computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.nn import functional as F

import onenet
from onenet.base.quiet import quiet
from onenet.calibration.quantized import QuantizedModel
from onenet.exporters.arithmetic import TIE, OtherTies, double, half, in_sequence, outputs_in
from onenet.lowering.graph import plain
from onenet.lowering.operators import QUANTIZE
from onenet.lowering.proof import outputs


class Mixed(nn.Module):
    """Constants, casts and types named in ``forward``: what no ``module.double()`` reaches."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 4)

    def forward(self, image: Tensor) -> Tensor:
        found = F.relu(self.first(image - torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)))
        ramp = torch.arange(found.shape[-1], dtype=torch.float32) / 7
        spread = found.float().var((2, 3), keepdim=True)
        found = (found * ramp.to(found.dtype) * torch.rsqrt(spread + 1e-5)).to(image.dtype)
        return self.last(found.mean((2, 3))).softmax(-1)


IMAGE = torch.rand((1, 3, 8, 12), generator=torch.Generator().manual_seed(1))


def traced(module: nn.Module) -> GraphModule:
    return plain(torch.export.export(module.eval(), (IMAGE,), strict=False).module(check_guards=False))


@torch.no_grad()
def by_hand(net: Mixed, image: np.ndarray, kind: type) -> np.ndarray:
    """The same function in numpy, in one type throughout."""
    weight, bias = (each.numpy().astype(kind) for each in (net.first.weight, net.first.bias))
    padded = np.pad((image - np.float32([0.485, 0.456, 0.406]).astype(kind)[:, None, None]), ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    found = np.maximum(np.einsum("chwij,ocij->ohw", windows, weight) + bias[:, None, None], 0)
    ramp = np.arange(image.shape[-1], dtype=kind) / kind(7)
    found = found * ramp / np.sqrt(found.var((1, 2), ddof=1, keepdims=True) + kind(1e-5))
    logits = found.mean((1, 2)) @ net.last.weight.numpy().astype(kind).T + net.last.bias.numpy().astype(kind)
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def test_double_is_float64_throughout() -> None:
    net = Mixed()
    module = traced(net)
    (found,) = outputs_in(double, module, [IMAGE])
    assert found.dtype == torch.float64
    expected = by_hand(net, IMAGE[0].numpy().astype(np.float64), np.float64)
    assert np.abs(found[0].numpy() - expected).max() < 1e-14
    (single,) = outputs(module, [IMAGE])  # which is not changed
    assert single.dtype == torch.float32
    assert 1e-9 < np.abs(single[0].numpy() - expected).max() < 1e-5


def test_half_rounds_weights_and_what_is_between_operators() -> None:
    """A sum of 2048 and 1 is 2048 in half precision; inside one operator it is not."""
    net = nn.Conv2d(2, 1, 1, bias=False)
    net.weight.data[:] = torch.tensor([1.0, 1.0001])[None, :, None, None]  # 1.0001 is 1 in half precision

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, image: Tensor) -> Tensor:
            return self.net(image) - 2048

    module = plain(torch.export.export(Twice().eval(), (torch.zeros(1, 2, 1, 1),), strict=False).module(check_guards=False))
    image = torch.tensor([2048.0, 1.0]).reshape(1, 2, 1, 1)
    assert float(outputs(module, [image])[0]) == pytest.approx(1.0001, abs=1e-3)
    assert float(outputs_in(half, module, [image])[0]) == 0.0
    assert float(outputs_in(half, module, [image * 4])[0]) == 4096 + 2048 + 4 - 4  # 8196 lies between 8192 and 8200
    assert outputs_in(half, module, [image * 100])[0].isinf().all()  # beyond 65504


@pytest.fixture(scope="module")
def quantized() -> QuantizedModel:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 1))
    with quiet():
        return onenet.calibrate(
            onenet.lower(onenet.build(net.eval(), input_size=(16, 16))),
            [np.random.default_rng(0).random((3, 16, 16), np.float32)],
        )


def test_other_ties_go_to_the_next_step_in_a_few_values_and_always_the_same(quantized: QuantizedModel) -> None:
    image = torch.rand((1, 3, 16, 16), generator=torch.Generator().manual_seed(3))
    (own,) = outputs(quantized.reference, [image])
    first, again, second = (outputs_in(OtherTies(seed), quantized.reference, [image])[0] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    scale = quantized.outputs[0]
    assert scale is not None
    for other in (first, second):
        steps = ((other - own) / scale[0]).abs().round()
        assert 0.005 < float((steps > 0).float().mean()) < 0.3
        assert float(steps.max()) <= 3
    assert not torch.equal(first, second)


def test_a_value_between_two_steps_goes_either_way_and_no_other() -> None:
    ties = OtherTies(0)
    places = torch.tensor([0.5 - 0.9 * TIE, 0.5 + 0.9 * TIE, 0.5 - 1.1 * TIE, 0.5 + 1.1 * TIE]).repeat(1000, 1)
    found = ties(QUANTIZE, (places, 1.0, 0, -128, 127, torch.int8), {})
    assert [sorted(set(column.tolist())) for column in found.T] == [[0, 1], [0, 1], [0], [1]]


class Sums(nn.Module):
    """Everything that adds many values, over all axes, some, and groups of channels."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.group, self.instance = nn.LayerNorm([4, 96, 80]), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, affine=True)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        every = (x.sum(), x.mean(), x.sum((1, 2)), x.mean((2, 3), keepdim=True), x.mean(1))
        spreads = (x.var((2, 3)), x.std((2, 3)), x.var((2, 3), correction=0, keepdim=True))
        return *every, *spreads, self.layer(x), self.group(x), self.instance(x)


def test_sums_in_sequence_are_the_same_sums_and_lose_more() -> None:
    image = torch.rand((2, 4, 96, 80), generator=torch.Generator().manual_seed(2))
    module = plain(torch.export.export(Sums().eval(), (image,), strict=False).module(check_guards=False))
    exact = outputs_in(double, module, [image])
    found, usual = outputs_in(in_sequence, module, [image]), outputs(module, [image])
    lost = [
        (float((a - b).abs().max() / a.abs().max()), float((a - c).abs().max() / a.abs().max()))
        for a, b, c in zip(exact, found, usual, strict=True)
    ]
    assert [each.shape for each in found] == [each.shape for each in usual]
    assert all(0 < ours < 1e-4 for ours, _ in lost), lost
    assert sum(ours > 3 * theirs for ours, theirs in lost) >= 7, lost
    rows = np.cumsum(image.numpy().reshape(-1), dtype=np.float32)
    assert found[0].item() == rows[-1]
