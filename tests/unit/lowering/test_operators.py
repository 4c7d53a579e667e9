"""The sets hold what they say, shown on the operators themselves."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from onenet.lowering.operators import (
    FIXED_SCALE,
    MOVES,
    NEW_SCALE,
    PICKS,
    PIXELS,
    PLANES,
    RELU,
    SAME_SCALE,
    WEIGHTED,
    WITH_NAMED_PADDING,
    Operator,
    aten,
)
from onenet.runtimes.layers import MOVES as MOVES_OF_PROFILE

VALUES = torch.rand(2, 4, 8, 1, generator=torch.Generator().manual_seed(0))
ARGUMENTS: dict[Operator, tuple[object, ...]] = {
    aten.reshape.default: ([4, 16],),
    aten.view.default: ([4, 16],),
    aten.permute.default: (PIXELS,),
    aten.transpose.int: (1, 2),
    aten.flatten.using_ints: (1,),
    aten.squeeze.dim: (3,),
    aten.unsqueeze.default: (0,),
    aten.pixel_shuffle.default: (2,),
    aten.pixel_unshuffle.default: (1,),
    aten.slice.Tensor: (2, 1, 5),
    aten.max_pool2d.default: ([2, 1],),
    aten.avg_pool2d.default: ([2, 1],),
    aten.upsample_nearest2d.vec: ([16, 2], None),
    aten.upsample_bilinear2d.vec: ([16, 2], False, None),
    aten.softmax.int: (1,),
}


def result(target: Operator) -> Tensor:
    return target(VALUES.clone(), *ARGUMENTS.get(target, ()))


@pytest.mark.parametrize("target", MOVES, ids=str)
def test_moves_keep_every_value(target: Operator) -> None:
    assert torch.equal(result(target).flatten().sort().values, VALUES.flatten().sort().values)


@pytest.mark.parametrize("target", PICKS, ids=str)
def test_picks_compute_nothing(target: Operator) -> None:
    assert set(result(target).flatten().tolist()) <= set(VALUES.flatten().tolist())


@pytest.mark.parametrize("target", SAME_SCALE, ids=str)
def test_values_stay_within_their_range(target: Operator) -> None:
    assert VALUES.min() <= result(target).min() <= result(target).max() <= VALUES.max()


@pytest.mark.parametrize("target", FIXED_SCALE, ids=str)
def test_a_fixed_scale_holds_every_value(target: Operator) -> None:
    scale, zero_point = FIXED_SCALE[target]
    low, high = ((end - zero_point) * scale for end in (-128, 127))
    assert low - scale <= result(target).min() <= result(target).max() <= high + scale


def test_an_operator_has_one_kind_of_scale() -> None:
    kinds = [*SAME_SCALE, *NEW_SCALE, *FIXED_SCALE, *WEIGHTED]
    assert len(set(kinds)) == len(kinds)
    assert set(RELU) <= set(SAME_SCALE)


def test_the_permutations_undo_each_other() -> None:
    assert torch.equal(VALUES.permute(PIXELS).permute(PLANES), VALUES)


@pytest.mark.parametrize("target", WITH_NAMED_PADDING, ids=str)
def test_a_named_padding_has_the_same_convolution_with_numbers(target: Operator) -> None:
    assert str(WITH_NAMED_PADDING[target]).partition(".")[2].startswith(str(target).split(".")[1])


def test_the_layer_profile_knows_the_same_moves() -> None:
    """It holds names, because it runs where there is no torch."""
    assert set(MOVES_OF_PROFILE) == {str(target).removeprefix("aten.").partition(".")[0] for target in PICKS}
