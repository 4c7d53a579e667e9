from __future__ import annotations

from collections.abc import Callable

import pytest
import torch.nn.functional as F
from torch import Tensor

from tests.unit.lowering.graphs import Function, alone

SHAPE = (2, 3, 6, 9)
Resizing = Callable[[Tensor], Tensor]

PICKED: dict[str, tuple[Resizing, int]] = {
    "nearest by a fraction": (lambda x: F.interpolate(x, size=(11, 20)), 2),
    "nearest by a factor that is not the ratio": (lambda x: F.interpolate(x, scale_factor=1.7), 2),
    "nearest, smaller": (lambda x: F.interpolate(x, scale_factor=(0.5, 1.0)), 1),
    "nearest-exact by a fraction": (lambda x: F.interpolate(x, size=(9, 9), mode="nearest-exact"), 1),
}
MIXED: dict[str, tuple[Resizing, int]] = {
    "bicubic": (lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"), 2),
    "bicubic, corners": (lambda x: F.interpolate(x, size=(6, 14), mode="bicubic", align_corners=True), 1),
    "bilinear by a factor that is not the ratio": (lambda x: F.interpolate(x, scale_factor=1.7, mode="bilinear"), 2),
    "antialiased": (lambda x: F.interpolate(x, scale_factor=0.4, mode="bilinear", antialias=True), 2),
    "bicubic, antialiased": (lambda x: F.interpolate(x, scale_factor=0.5, mode="bicubic", antialias=True), 2),
}


@pytest.mark.parametrize(("function", "axes"), PICKED.values(), ids=PICKED)
def test_places_are_picked(function: Resizing, axes: int) -> None:
    trial = alone("resize", Function(function), SHAPE)
    assert (trial.result.applied, trial.operators) == (1, {"index_select": axes})


@pytest.mark.parametrize(("function", "axes"), MIXED.values(), ids=MIXED)
def test_places_are_mixed(function: Resizing, axes: int) -> None:
    trial = alone("resize", Function(function), SHAPE)
    assert (trial.result.applied, trial.operators) == (1, {"matmul": axes})


@pytest.mark.parametrize(("mode", "plain"), [("nearest-exact", "upsample_nearest2d"), ("bilinear", "upsample_bilinear2d")])
def test_what_is_the_plain_one_becomes_it(mode: str, plain: str) -> None:
    trial = alone(
        "resize", Function(lambda x: F.interpolate(x, scale_factor=2, mode=mode, antialias=mode == "bilinear")), SHAPE
    )
    assert (trial.result.applied, trial.operators) == (1, {plain: 1})


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.interpolate(x, scale_factor=2),
        lambda x: F.interpolate(x, size=(6, 27)),
        lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
        lambda x: F.interpolate(x, size=(13, 5), mode="bilinear", align_corners=True),
    ],
)
def test_what_converters_get_right_stays(function: Resizing) -> None:
    assert alone("resize", Function(function), SHAPE).left()
