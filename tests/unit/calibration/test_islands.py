"""What normalises by values that it computed stays in float as a whole; what stands beside it does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import onenet
from onenet.base.metrics import sqnr_db
from onenet.calibration.islands import float_islands
from onenet.calibration.observe import trace
from onenet.calibration.quantized import QuantizedModel
from onenet.calibration.scheme import NO_FORM, NORMALISES
from onenet.lowering.graph import name_of
from onenet.lowering.operators import QUANTIZE
from onenet.lowering.proof import outputs
from onenet.models.build import build
from tests.conftest import smooth_images
from tests.unit.calibration.programs import float_operators

SIZE = (16, 24)


class Net(nn.Module):
    """A function between two convolutions; the first one's channels are of very different size."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.function = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 1), function

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.last(self.function(self.first(image).relu()))
        return result


def channels(x: Tensor) -> Tensor:
    mean = x.mean(1, keepdim=True)
    return (x - mean) / torch.sqrt((x - mean).pow(2).mean(1, keepdim=True) + 1e-6)


def space(x: Tensor) -> Tensor:
    centred = x - x.mean((2, 3), keepdim=True)
    return centred * torch.rsqrt((centred * centred).mean((2, 3), keepdim=True) + 1e-6)


NORMS: dict[str, tuple[Callable[[Tensor], Tensor], dict[str, int]]] = {
    "channels": (channels, {"mean": 2, "sub": 2, "pow": 1, "add": 1, "sqrt": 1, "div": 1}),
    "space": (space, {"mean": 2, "sub": 1, "mul": 2, "add": 1, "rsqrt": 1}),
    "length": (lambda x: x / (x.norm(dim=1, keepdim=True) + 1e-12), {"linalg_vector_norm": 1, "add": 1, "div": 1}),
    "share": (lambda x: x / (1 + x.sum(1, keepdim=True)), {"add": 1, "div": 1}),
    "deviation": (lambda x: x * torch.rsqrt(x.var((2, 3), keepdim=True) + 1e-5), {"var": 1, "add": 1, "rsqrt": 1, "mul": 1}),
}


def quantized(function: Callable[[Tensor], Tensor]) -> QuantizedModel:
    lowered = onenet.lower(build(Net(function), input_size=SIZE))
    return onenet.calibrate(lowered, list(smooth_images(8, 3, *SIZE)))


def island(function: Callable[[Tensor], Tensor]) -> Counter[str]:
    lowered = onenet.lower(build(Net(function), input_size=SIZE))
    return Counter(name_of(node) for node in float_islands(trace(lowered)))


@pytest.mark.parametrize("name", NORMS)
def test_a_norm_is_one_island(name: str) -> None:
    function, expected = NORMS[name]
    assert island(function) == expected
    made = quantized(function)
    inner = [n.all_input_nodes[0].target for n in made.reference.graph.nodes if n.target is QUANTIZE]
    assert Counter({each.operator: each.count for each in made.in_float}) == float_operators(made.reference)
    assert {each.why for each in made.in_float} <= {NORMALISES, NO_FORM}
    assert len(inner) == 4  # the image, what the norm reads, what it gives, the result
    image = torch.from_numpy(smooth_images(9, 3, *SIZE)[8:])
    found = sqnr_db(*(outputs(each, [image])[0].numpy() for each in (made.model.module, made.reference)))
    assert found is not None
    assert found > 24


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: x + x.mean((2, 3), keepdim=True), {}),
        (lambda x: F.softplus(x) * x + x, {}),
        (lambda x: x / 3 + x, {}),
        (lambda x: x + x / (1 + x.mean(1, keepdim=True)), {"mean": 1, "add": 1, "div": 1}),  # the last sum is int8
        (lambda x: (y := x + x.mean(1, keepdim=True)) / (1 + y.amax(1, keepdim=True)) + y, {"add": 1, "div": 1}),
        (lambda x: 1 / (x + 2), {"add": 1, "reciprocal": 1}),
    ],
)
def test_what_stands_beside_one_is_int8(function: Callable[[Tensor], Tensor], expected: dict[str, int]) -> None:
    assert island(function) == expected


@pytest.mark.parametrize("gated", [F.silu, F.hardswish], ids=lambda each: each.__name__)
def test_what_opens_its_own_gate_is_no_part_of_an_island(gated: Callable[[Tensor], Tensor]) -> None:
    before = island(channels)
    assert island(lambda x: channels(gated(x))) == before
    assert island(lambda x: gated(channels(x))) == before
    assert quantized(lambda x: gated(channels(x))).in_float == quantized(channels).in_float
