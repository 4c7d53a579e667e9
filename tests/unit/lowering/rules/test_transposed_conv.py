from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import nn

from tests.unit.lowering.graphs import Function, alone, lowered, multiplications, operators


@pytest.mark.parametrize(("factor", "bias"), [(2, True), (3, False)])
def test_without_overlap_becomes_a_shuffle(factor: int, bias: bool) -> None:
    layer = nn.ConvTranspose2d(5, 3, factor, stride=factor, bias=bias)
    trial = alone("transposed_conv", layer, (2, 5, 4, 6))
    assert (trial.result.applied, trial.operators) == (1, {"conv2d": 1, "pixel_shuffle": 1})
    assert operators(lowered(layer, (2, 5, 4, 6)).module) == {"conv2d": 1, "pixel_shuffle": 1}


KINDS = [
    {"kernel_size": kernel, "stride": stride, "padding": padding, "output_padding": extra}
    for kernel, stride, padding, extra in itertools.product((2, 3, 4, 5, (3, 4)), (2, 3), (0, 1, 2), (0, 1))
    if min(kernel if isinstance(kernel, tuple) else (kernel,)) > padding or padding < 2
]


@pytest.mark.parametrize("options", KINDS, ids=lambda options: "-".join(str(each) for each in options.values()))
def test_overlap_padding_and_what_is_behind_the_last_window(options: dict[str, Any]) -> None:
    trial = alone("transposed_conv", nn.ConvTranspose2d(4, 6, **options), (2, 4, 5, 7))  # exact, or it raises
    assert trial.result.applied == 1 or "times the work" in next(iter(trial.result.declined))
    if trial.result.applied:
        assert set(trial.operators) <= {"conv2d", "pixel_shuffle", "slice"}
        assert trial.operators["conv2d"] == trial.operators["pixel_shuffle"] == 1


@pytest.mark.parametrize(("kernel", "padding", "slices"), [(4, 1, 2), (6, 2, 0), (6, 1, 2)])
def test_a_multiple_of_the_stride_costs_nothing(kernel: int, padding: int, slices: int) -> None:
    layer, size = nn.ConvTranspose2d(4, 3, kernel, stride=2, padding=padding), 16
    trial = alone("transposed_conv", layer, (1, 4, size, size))
    assert trial.operators["slice"] == slices
    of_each_input = 4 * 3 * kernel**2
    places = multiplications(trial.module) / of_each_input
    assert places <= (size + 2) ** 2  # those beyond the image are cut off again


def test_dilated() -> None:
    trial = alone("transposed_conv", nn.ConvTranspose2d(4, 3, 2, stride=3, dilation=3), (1, 4, 5, 7))
    assert trial.result.applied == 0
    assert trial.left("a convolution would do 9.0 times the work")


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.ConvTranspose2d(4, 4, (2, 3), stride=(2, 3)), "another stride down than across"),
        (
            nn.ConvTranspose2d(4, 4, 2, stride=2, groups=2),
            "grouped: onnxruntime's int8 kernel of a grouped convolution is slower than its float transposed one",
        ),
        (nn.ConvTranspose2d(4, 4, 1, stride=2), "a convolution would do 4.0 times the work"),
    ],
)
def test_others_are_left_with_the_reason(layer: nn.Module, reason: str) -> None:
    assert alone("transposed_conv", layer, (1, 4, 4, 4)).left(reason)
    assert operators(lowered(layer, (1, 4, 4, 4)).module) == {"conv_transpose2d": 1}


def test_a_computed_weight_stays() -> None:
    module = Function(lambda x, weight: torch.conv_transpose2d(x, weight, stride=2))
    assert alone("transposed_conv", module, (1, 4, 4, 4), (4, 3, 2, 2)).left("the weight is computed")
