from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.fx import Node

from onenet.errors import CheckError
from onenet.lowering import lower_module
from onenet.lowering.driver import common_order, target_order
from onenet.lowering.rules import linear_chain
from onenet.lowering.rules.linear_chain import Part
from onenet.targets import TARGETS
from tests.conftest import awkward_onenet
from tests.unit.lowering.graphs import alone, lowered, multiplications, operators, result_of, same

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
    result = result_of("linear_chain", found.rules)
    assert (result.applied, result.declined) == (1, {})
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
    assert result_of("linear_chain", found.rules).applied == 1
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
    assert alone("linear_chain", module, shape).left("one convolution would not multiply less")
    assert result_of("linear_chain", lowered(module, shape).rules).applied == 0


@pytest.mark.parametrize("name", NO_CHAIN)
def test_no_chain(name: str) -> None:
    assert alone("linear_chain", NO_CHAIN[name], (1, 4, 32, 32)).left()
    result = result_of("linear_chain", lowered(NO_CHAIN[name], (1, 4, 32, 32)).rules)
    assert (result.applied, result.declined) == (0, {})


class ReadTwice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = same(4, 8, 3, 3), same(8, 2, 3, 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.first(x)
        return y, self.second(y)


def test_a_value_that_is_read_twice_is_computed() -> None:
    assert alone("linear_chain", ReadTwice(), (1, 4, 32, 32)).left()


def test_a_frame_too_thin_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = linear_chain.measured

    def thin(nodes: list[Node]) -> Part:
        part = measured(nodes)
        return Part(part.nodes, part.reach, (0, 0), part.factor, part.before, 0)

    monkeypatch.setattr(linear_chain, "measured", thin)
    with pytest.raises(CheckError, match="rule linear_chain changed the result by"):
        lowered(*CHAINS["OneNet's head"])
