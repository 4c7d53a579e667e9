from __future__ import annotations

import pytest
from torch import nn
from torch.nn import functional as F

from tests.unit.lowering.graphs import Function, alone, lowered, operators, result_of, stack


@pytest.mark.parametrize("padding", [(4, 4), (1, 3), (0, 2)])
def test_becomes_slices(padding: tuple[int, int]) -> None:
    form = lowered(nn.ReflectionPad1d(padding), (2, 1, 9))
    assert operators(form.module) == {"slice": sum(padding), "cat": 1}
    assert form.error == 0.0
    assert result_of("reflect_pad", form.rules).applied == 1


def test_zero_pads_are_no_match() -> None:
    assert alone("reflect_pad", stack(nn.ReflectionPad2d(1), nn.ZeroPad2d(1)), (1, 1, 4, 4)).result.applied == 0
    assert alone("reflect_pad", nn.ZeroPad2d(1), (1, 1, 4, 4)).left()


@pytest.mark.parametrize(
    ("shape", "padding", "reason"),
    [
        ((1, 1, 4, 4), (1, 1, 1, 1), "pads more than the last axis"),
        ((1, 1, 9), (-1, 2), "padding is not smaller than the sequence"),
    ],
)
def test_others_are_left_with_the_reason(shape: tuple[int, ...], padding: tuple[int, ...], reason: str) -> None:
    assert alone("reflect_pad", Function(lambda x: F.pad(x, padding, mode="reflect")), shape).left(reason)
