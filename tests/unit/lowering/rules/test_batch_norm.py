from __future__ import annotations

import pytest
from torch import Tensor, nn
from torch.nn import functional as F

from tests.unit.lowering.graphs import Function, alone, lowered, operators, prove, result_of, stack


@pytest.mark.parametrize("affine", [True, False])
def test_becomes_an_affine_per_channel(affine: bool) -> None:
    trial = alone("batch_norm", nn.BatchNorm2d(4, affine=affine))
    assert trial.result.applied == 1
    assert trial.operators == {"channel_affine": 1}


def live(x: Tensor) -> Tensor:
    return F.batch_norm(x, None, None, training=True)


def test_statistics_of_the_batch_are_left() -> None:
    reason = "normalises with the statistics of the batch"
    assert alone("batch_norm", Function(live)).left(reason)
    form = lowered(Function(live))
    assert result_of("batch_norm", form.rules).declined == {reason: 1}
    assert "batch_norm" in operators(form.module)
    module = stack(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, track_running_stats=False))
    assert alone("batch_norm", module).left(reason)
    prove(module)


def test_computed_statistics_are_left() -> None:
    module = Function(lambda x, scale: F.batch_norm(x, scale.mean((0, 2)), scale.var((0, 2)).abs(), scale[0, :, 0]))
    assert alone("batch_norm", module, (2, 4, 6, 6), (1, 4, 3)).left("normalises with the statistics of the batch")


def test_other_norms_are_no_match() -> None:
    assert alone("batch_norm", nn.GroupNorm(2, 4)).left()
