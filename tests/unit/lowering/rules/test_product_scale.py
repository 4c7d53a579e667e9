from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from onenet.lowering.graph import shape
from onenet.lowering.operators import aten
from tests.unit.lowering.graphs import Function, Net, alone, lowered, operators

BEFORE = ["normalisation"]
TOKENS = (2, 32, 8)
Many = Callable[..., Tensor]


def heads(x: Tensor) -> Tensor:
    """(N, tokens, channels) -> (N, 4, tokens, channels / 4)."""
    return x.reshape(x.shape[0], x.shape[1], 4, -1).transpose(1, 2)


PRODUCTS: dict[str, Many] = {
    "matmul": lambda q, k: (q @ k.transpose(-2, -1)) * 0.35,
    "divided": lambda q, k: (q @ k.transpose(-2, -1)) / 2.8,
    "bmm": lambda q, k: torch.bmm(q, k.transpose(-2, -1)).mul(0.35),
    "einsum": lambda q, k: torch.einsum("nic,njc->nij", q, k) * 0.35,
    "with itself": lambda q, _: (q @ q.transpose(-2, -1)) * 0.35,
    "squared": lambda q, _: torch.einsum("nic,njc->nij", q, q) * 0.35,
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_scores_are_scaled_on_the_smaller_side(name: str) -> None:
    found = lowered(Function(lambda x: PRODUCTS[name](x.relu(), x.sigmoid()).softmax(-1)), TOKENS)
    (mul,) = [node for node in found.module.graph.nodes if node.target is aten.mul.Tensor]
    assert shape(mul) in (TOKENS, (2, 8, 32))
    assert "conv1d" not in operators(found.module)


def test_separate_queries_take_the_scale_into_their_weights() -> None:
    def attention(net: nn.ModuleList, x: Tensor) -> Tensor:
        q, k, v = (heads(layer(x)) for layer in net)
        return ((q @ k.transpose(-2, -1)) * 0.35).softmax(-1) @ v

    found = lowered(Net(attention, *(nn.Linear(8, 8, bias=bias) for bias in (False, True, True))), TOKENS)
    assert operators(found.module)["mul"] == 0
    assert operators(found.module)["linear"] == 3


def test_of_one_layer_for_queries_keys_and_values_the_queries_are_scaled() -> None:
    def attention(net: nn.ModuleList, x: Tensor) -> Tensor:
        q, k, v = net[0](x).reshape(2, 32, 3, 4, 2).permute(2, 0, 3, 1, 4)
        return ((q @ k.transpose(-2, -1)) * 0.35).softmax(-1) @ v

    found = lowered(Net(attention, nn.Linear(8, 24)), TOKENS)
    (mul,) = [node for node in found.module.graph.nodes if node.target is aten.mul.Tensor]
    assert shape(mul) == (2, 4, 32, 2)


def test_a_constant_operand_takes_it() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mixing = nn.Parameter(torch.randn(8, 8))

        def forward(self, x: Tensor) -> Tensor:
            return (x @ self.mixing) * 0.35

    assert operators(lowered(Mixed(), TOKENS).module) == {"matmul": 1}


def left(function: Many, *reasons: str, shapes: tuple[tuple[int, ...], ...] = (TOKENS,)) -> bool:
    return alone("product_scale", Function(function), *shapes, behind=BEFORE).left(*reasons)


def test_left_with_the_reason() -> None:
    def twice(x: Tensor) -> Tensor:
        scores: Any = x @ x.transpose(-2, -1)
        return (scores * 0.35).softmax(-1) + scores

    assert left(twice, "the product is used without the scale as well")
    assert left(lambda x: (x @ x.transpose(-2, -1)) + 1, "not one factor for all of the product")
    small = ((2, 4, 64), (2, 64, 4))
    assert left(lambda x, y: (x @ y) * 2, "the operands of the product are no smaller than it", shapes=small)
    assert left(lambda x, y: (x @ y) * 2, "the smaller operand is a vector", shapes=((2, 3, 4, 8), (8,)))
