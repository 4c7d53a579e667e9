from __future__ import annotations

from collections.abc import Callable

import pytest
import torch.nn.functional as F
from torch import Tensor

from tests.unit.lowering.graphs import Function, alone

SHAPE = (2, 3, 6, 9)


@pytest.mark.parametrize(
    ("function", "operators"),
    [
        (lambda x: F.pad(x, (-2, -1, -1, 0)), {"slice": 2}),
        (lambda x: F.pad(x, (-2, 3)), {"slice": 1, "pad": 1}),
        (lambda x: F.pad(x, (1, 0, -2, 0), value=0.5), {"slice": 1, "pad": 1}),
        (lambda x: F.pad(x, (2, 1, 0, 3), mode="circular"), {"slice": 3, "cat": 2}),
        (lambda x: F.pad(x, (-2, 1, 1, -1), mode="circular"), {"slice": 4, "cat": 2}),
    ],
    ids=["a crop", "a crop at one end", "a crop along one axis", "circular", "circular and a crop"],
)
def test_slices_take_its_place(function: Callable[[Tensor], Tensor], operators: dict[str, int]) -> None:
    trial = alone("crop_pad", Function(function), SHAPE)
    assert (trial.result.applied, trial.operators) == (1, operators)


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate"])
def test_other_pads_stay(mode: str) -> None:
    assert alone("crop_pad", Function(lambda x: F.pad(x, (1, 2, 0, 1), mode=mode)), SHAPE).left()
