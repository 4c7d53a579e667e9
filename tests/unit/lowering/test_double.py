"""Whatever types a network names, it runs in float64: with the values that float64 gives."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from onenet.lowering.double import in_float64

THIRD = 1 / 3
"""A number whose float32 is another one."""


def filled(x: Tensor) -> Tensor:
    """A float32 tensor that is written to piece by piece."""
    canvas = torch.zeros(2, 4, dtype=torch.float32)
    canvas[0] = torch.full((4,), THIRD, dtype=torch.float32)
    canvas[1] = x[1]
    return canvas


MADE: dict[str, Callable[[Tensor], Tensor]] = {
    "cast": lambda x: x.float() * THIRD,
    "to": lambda x: x.to(torch.float32) * THIRD,
    "half": lambda x: x.half() * THIRD,
    "type": lambda x: x.type(torch.bfloat16) * THIRD,
    "arange": lambda x: x + torch.arange(0, 4 * THIRD, THIRD, dtype=torch.float32)[:4],
    "linspace without a type": lambda x: x + torch.linspace(0, THIRD, 4),
    "full": lambda x: torch.full((4,), THIRD) + x,
    "full_like": lambda x: torch.full_like(x, THIRD, dtype=torch.float32),
    "new_tensor": lambda x: x.float().new_tensor([THIRD]),
    "softmax with a type": lambda x: F.softmax(x, -1, dtype=torch.float32),
    "whole numbers divided": lambda x: torch.arange(4) / 3 + x,
    "truth values scaled": lambda x: (x > 0) * THIRD + x,
    "filled piece by piece": filled,
}


EXACT: dict[str, Callable[[Tensor], Tensor]] = {
    "cast": lambda x: x * THIRD,
    "half": lambda x: x * THIRD,
    "arange": lambda x: x + torch.arange(4, dtype=torch.float64) * THIRD,
    "linspace without a type": lambda x: x + torch.linspace(0, THIRD, 4, dtype=torch.float64),
    "full_like": lambda x: torch.full_like(x, THIRD),
    "softmax with a type": lambda x: x.exp() / x.exp().sum(-1, keepdim=True),
    "whole numbers divided": lambda x: torch.arange(4, dtype=torch.float64) / 3 + x,
    "truth values scaled": lambda x: THIRD + x,
    "filled piece by piece": lambda x: torch.stack([torch.full_like(x[0], THIRD), x[1]]),
}
"""The values, computed in float64 throughout."""


@pytest.mark.parametrize("name", MADE)
def test_every_float_is_float64(name: str) -> None:
    x = torch.rand(2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.1
    with in_float64():
        found = MADE[name](x)
    assert found.dtype == torch.float64
    assert torch.get_default_dtype() == torch.float32
    if name in EXACT:
        torch.testing.assert_close(found, EXACT[name](x), rtol=1e-15, atol=0)


def test_whole_numbers_and_truth_values_stay() -> None:
    with in_float64():
        assert torch.arange(3).dtype == torch.int64
        assert (torch.zeros(3) > 0).dtype == torch.bool
        assert torch.zeros(3, dtype=torch.uint8).dtype == torch.uint8


def test_the_default_type_comes_back_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), in_float64():
        1 / 0  # noqa: B018
    assert torch.get_default_dtype() == torch.float32
