"""The proof finds what is different, wherever it is."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from onenet.lowering.proof import asymmetric_probe, mean_difference, outputs, relative_difference

DIFFERENCES = [relative_difference, mean_difference]


def test_no_two_places_of_a_probe_are_alike() -> None:
    (probe,) = asymmetric_probe([torch.zeros(2, 3, 8, 8)])
    assert probe.dtype == torch.float64
    assert probe.unique().numel() == probe.numel()
    assert 0 < float(probe.max()) <= 1
    for axis in range(4):
        assert not torch.equal(probe, probe.flip(axis))


def test_labels_are_probed_as_they_are() -> None:
    labels = torch.arange(3)
    assert asymmetric_probe([labels])[0] is labels


def test_outputs_are_a_list_always() -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, 2 * x

    x = torch.ones(3)
    assert [float(each.sum()) for each in outputs(nn.Identity(), [x])] == [3.0]
    assert [float(each.sum()) for each in outputs(Two(), [x])] == [3.0, 6.0]


@pytest.mark.parametrize("difference", DIFFERENCES)
def test_the_worst_output_counts(difference: object) -> None:
    assert callable(difference)
    a, b = torch.tensor([2.0, -4.0]), torch.tensor([1, 3])
    assert difference([a, b], [a, b]) == 0.0
    assert difference([a, b], [a, b + 1]) == difference([b], [b + 1]) > 0
    assert difference([b, a], [b + 1, a]) == difference([b], [b + 1])


@pytest.mark.parametrize("difference", DIFFERENCES)
def test_nan_and_another_shape_never_pass(difference: object) -> None:
    assert callable(difference)
    a = torch.ones(2)
    assert difference([a], [torch.ones(1, 2)]) == float("inf")
    for at in (0, 1):
        broken = [a, a]
        broken[at] = torch.tensor([1.0, float("nan")])
        assert math.isnan(difference([a, a], broken))


def test_relative_to_the_largest_and_to_the_mean() -> None:
    a, b = torch.tensor([1.0, -4.0, 1.0]), torch.tensor([2.0, -4.0, 1.0])
    assert relative_difference([a], [b]) == 0.25
    assert mean_difference([a], [b]) == pytest.approx(1 / 6)
    assert relative_difference([torch.zeros(2)], [torch.ones(2)]) > 1e300
