"""One number says how near outputs are, whatever their number, size and kind."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from onenet.calibration.nearness import error_of

VALUES = torch.tensor([3.0, -4.0])
LABELS = torch.tensor([[0, 1], [40, 3]])


def error(expected: Tensor, found: Tensor) -> float:
    return error_of([[expected]], [[found]])


def test_noise_is_a_share_of_the_signal() -> None:
    assert error(VALUES, VALUES) == 0
    assert error(VALUES, VALUES + 0.5) == pytest.approx(2 * 0.25 / 25)
    assert error(1e6 * VALUES, 1e6 * (VALUES + 0.5)) == pytest.approx(2 * 0.25 / 25)


def test_inputs_weigh_by_their_signal() -> None:
    assert error_of([[VALUES], [0 * VALUES]], [[VALUES], [0 * VALUES + 1]]) == pytest.approx(2 / 25)


def test_every_output_counts_alike() -> None:
    large, wrong = 1000 * VALUES, VALUES * 1.1
    for order in (slice(None), slice(None, None, -1)):
        assert error_of([[large, VALUES][order]], [[large, wrong][order]]) == pytest.approx(0.01)


def test_of_labels_the_share_that_differs_counts() -> None:
    assert error(LABELS, LABELS) == 0
    assert error(LABELS, torch.tensor([[0, 1], [2, 3]])) == 0.25
    assert error(LABELS > 1, torch.tensor([[True, True], [True, True]])) == 0.5


def test_what_the_network_leaves_open_is_not_compared() -> None:
    masked = torch.tensor([3.0, -math.inf, -4.0])
    assert error(masked, torch.tensor([3.0, 7.0, -4.0])) == 0
    assert error(0 * VALUES, 0 * VALUES) == 0


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_numbers_that_became_none_are_infinitely_far(broken: float) -> None:
    assert error(VALUES, torch.tensor([3.0, broken])) == math.inf
