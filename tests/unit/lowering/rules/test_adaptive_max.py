from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from tests.unit.lowering.graphs import Function, alone, prove


@pytest.mark.parametrize(
    ("size", "gathers"), [((4, 6), 0), ((1, 1), 0), ((3, 5), 2), ((4, 5), 1), ((5, 12), 1), ((7, 11), 2)], ids=str
)
def test_windows_become_even(size: tuple[int, int], gathers: int) -> None:
    trial = alone("adaptive_max", Function(lambda x: F.adaptive_max_pool2d(x - 0.5, size)))
    assert trial.result.applied == 1
    assert (trial.operators["index_select"], trial.operators["max_pool2d"]) == (gathers, 1)
    assert trial.operators["adaptive_max_pool2d"] == 0


def test_one_image_without_a_batch() -> None:
    trial = alone("adaptive_max", Function(lambda x: F.adaptive_max_pool2d(x, (3, 5))), (4, 8, 12))
    assert trial.result.applied == 1


@pytest.mark.parametrize(
    ("pool", "shape", "size"),
    [
        (F.adaptive_max_pool1d, (1, 4, 20), 7),
        (F.adaptive_max_pool1d, (4, 20), 5),
        (F.adaptive_max_pool3d, (1, 2, 5, 8, 9), (3, 4, 5)),
    ],
    ids=["sequence", "sequence without a batch", "volume"],
)
def test_of_other_ranks(pool: Callable[..., torch.Tensor], shape: tuple[int, ...], size: object) -> None:
    trial = alone("adaptive_max", Function(lambda x: pool(x - 0.5, size)), shape)
    assert trial.result.applied == 1 and not [name for name in trial.operators if "adaptive" in name]


def test_places_are_kept() -> None:
    def both(x: torch.Tensor) -> torch.Tensor:
        values, places = F.adaptive_max_pool2d(x, (3, 5), return_indices=True)
        return values + places

    assert alone("adaptive_max", Function(both)).left("the places of the maxima are used, too")


def test_behind_every_other_rule() -> None:
    prove(Function(lambda x: F.adaptive_max_pool2d(x, (3, 5)) * 2))
