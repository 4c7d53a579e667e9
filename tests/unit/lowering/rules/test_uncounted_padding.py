from __future__ import annotations

import pytest
from torch.nn import functional as F

from onenet.lowering.graph import arguments
from onenet.lowering.operators import aten
from tests.unit.lowering.graphs import Function, alone, prove


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "zeros"),
    [(3, 2, 0, 0), (3, 2, 1, 1), ((3, 5), (2, 3), (0, 2), 1), (5, 5, 0, 0), (2, 2, 0, 0), ((4, 3), (3, 2), (1, 1), 1)],
    ids=str,
)
def test_padding_does_not_count(kernel: int, stride: int, padding: int, zeros: int) -> None:
    trial = alone("uncounted_padding", Function(lambda x: F.avg_pool2d(x + 1, kernel, stride, padding, ceil_mode=True)))
    assert trial.result.applied == 1
    assert trial.operators["constant_pad_nd"] == zeros
    (pool,) = (node for node in trial.module.graph.nodes if node.target is aten.avg_pool2d.default)
    assert arguments(pool)[3:6] == [[0, 0], True, False]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (dict(kernel_size=2, stride=5, padding=1, ceil_mode=True), "a window would lie in the padding alone"),
    ],
    ids=["window in the padding"],
)
def test_others_are_left_with_the_reason(options: dict[str, int], reason: str) -> None:
    pool = Function(lambda x: F.avg_pool2d(x, **options))  # type: ignore[arg-type]  # whole numbers and flags
    assert alone("uncounted_padding", pool, (1, 2, 9, 9)).left(reason)


@pytest.mark.parametrize("options", [dict(ceil_mode=False), dict(ceil_mode=True, count_include_pad=False)], ids=str)
def test_what_counts_rightly_is_no_match(options: dict[str, bool]) -> None:
    assert alone("uncounted_padding", Function(lambda x: F.avg_pool2d(x, 3, 2, 1, **options))).left()


def test_behind_every_other_rule() -> None:
    prove(Function(lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True) * 2))
