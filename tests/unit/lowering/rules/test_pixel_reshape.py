from __future__ import annotations

from torch import Tensor

from tests.unit.lowering.graphs import Function, alone


def reshaped(*shape: int) -> Function:
    return Function(lambda x: x.relu().reshape(shape))


def test_of_planes_becomes_of_pixels() -> None:
    trial = alone("pixel_reshape", reshaped(2, 4, 4, 24))
    assert trial.result.applied == 1
    assert trial.operators == {"relu": 1, "permute": 2, "reshape": 1}


def test_to_other_channels_or_a_sequence_is_no_match() -> None:
    assert alone("pixel_reshape", reshaped(2, 8, 4, 12)).left()
    assert alone("pixel_reshape", reshaped(2, 4, 96)).left()


def test_behind_another_move_is_no_match() -> None:
    def moved(x: Tensor) -> Tensor:
        return x.permute(0, 1, 3, 2).reshape(2, 4, 8, 12)

    assert alone("pixel_reshape", Function(moved)).left()
