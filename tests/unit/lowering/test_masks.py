from __future__ import annotations

import math

import pytest
import torch

from onenet.lowering.masks import is_mask

INFINITE = -math.inf


@pytest.mark.parametrize(
    "value",
    [
        INFINITE,
        -1e9,
        -1e4,
        torch.finfo(torch.float32).min,
        torch.tensor([0.0, INFINITE]),
        torch.tensor([0.0, -1e4]),
        torch.tensor([0.0, 1e9]),
        torch.triu(torch.full((3, 3), -1e9), 1),
    ],
    ids=str,
)
def test_it_switches_values_off(value: object) -> None:
    assert is_mask(value)


@pytest.mark.parametrize(
    "value",
    [
        65535.0,
        -100.0,
        -20000,
        torch.tensor([123.675, 116.28]),
        torch.tensor([30000.0, 40000.0]),
        torch.tensor([0, 20000]),
        torch.zeros(3),
        torch.zeros(0),
        "reflect",
    ],
    ids=str,
)
def test_it_is_an_ordinary_constant(value: object) -> None:
    assert not is_mask(value)
