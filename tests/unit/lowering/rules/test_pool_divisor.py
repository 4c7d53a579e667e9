from __future__ import annotations

from typing import Any

import pytest
from torch.nn import functional as F

from tests.unit.lowering.graphs import Function, alone, prove


@pytest.mark.parametrize(
    ("options", "zeros"),
    [
        (dict(kernel_size=3, stride=2, padding=1), 1),
        (dict(kernel_size=2), 0),
        (dict(kernel_size=3, stride=2, ceil_mode=True), 1),
        (dict(kernel_size=(2, 3), stride=(3, 2), padding=(0, 1), ceil_mode=True), 1),
        (dict(kernel_size=3, stride=2, padding=1, ceil_mode=True, count_include_pad=False), 1),
        (dict(kernel_size=2, stride=5, padding=1, ceil_mode=True), 1),
    ],
    ids=str,
)
def test_it_becomes_a_factor(options: dict[str, Any], zeros: int) -> None:
    trial = alone("pool_divisor", Function(lambda x: F.avg_pool2d(x + 1, **options, divisor_override=5)), (1, 2, 9, 10))
    assert trial.result.applied == 1
    assert (trial.operators["constant_pad_nd"], trial.operators["mul"]) == (zeros, 1)


def test_others_are_no_match() -> None:
    assert alone("pool_divisor", Function(lambda x: F.avg_pool2d(x, 3, 2, 1))).left()


def test_behind_every_other_rule() -> None:
    prove(Function(lambda x: F.avg_pool2d(x, 3, 2, 1, divisor_override=4) * 2))
