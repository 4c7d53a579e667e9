from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import Tensor

from tests.unit.lowering.graphs import Function, alone

CHAINS: dict[str, tuple[Callable[[Tensor], Tensor], dict[str, int]]] = {
    "there and back": (lambda x: x.permute(0, 2, 3, 1).permute(0, 3, 1, 2), {}),
    "two reshapes": (lambda x: x.reshape(2, 4, 96).reshape(2, 2, 2, 96), {"reshape": 1}),
    "to a sequence": (lambda x: x.flatten(2).transpose(1, 2).reshape(2, -1), {"permute": 1, "reshape": 1}),
    "from a sequence": (
        lambda x: x.reshape(2, 96, 4).transpose(1, 2).unsqueeze(2).reshape(2, 4, 8, 12),
        {"reshape": 1, "permute": 1},
    ),
}
SHORTEST: dict[str, Callable[[Tensor], Tensor]] = {
    "a reshape": lambda x: x.reshape(2, 4, 96),
    "to pixels": lambda x: x.permute(0, 2, 3, 1),
    "an order that no shorter chain has": lambda x: x.permute(0, 3, 2, 1).reshape(2, 12, 32),
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_becomes_the_shortest(name: str) -> None:
    function, after = CHAINS[name]
    trial = alone("layout", Function(lambda x: function(x.relu()) * 1.5))
    assert trial.result.applied == 1
    assert trial.operators == {"relu": 1, "mul": 1, **after}


@pytest.mark.parametrize("name", SHORTEST)
def test_the_shortest_stays(name: str) -> None:
    assert alone("layout", Function(SHORTEST[name])).left()


def test_only_the_end_of_a_chain_is_looked_at() -> None:
    def branched(x: Tensor) -> Tensor:
        y = x.permute(0, 2, 3, 1)
        return y.permute(0, 3, 1, 2).relu() + y.reshape(2, 96, 4).mean()

    trial = alone("layout", Function(branched))
    assert trial.result.applied == 1
    assert trial.operators == {"permute": 1, "reshape": 1, "relu": 1, "mean": 1, "add": 1}
