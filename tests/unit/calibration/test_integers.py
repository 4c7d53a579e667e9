"""What int8 programs compute otherwise than float ones gives the same integers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from onenet.calibration.integers import in_integers
from onenet.lowering.graph import Graph
from onenet.lowering.operators import FIXED_SCALE, aten
from tests.unit.lowering.graphs import operators
from tests.unit.lowering.rules.stored import every_integer, stored

SCALES = [(0.05, 0), (6 / 250, 0), (0.013, -128), (0.2, 60), (0.75, 127)]


def gate(x: Tensor) -> Tensor:
    return stored(F.hardsigmoid(x), *FIXED_SCALE[aten.hardsigmoid.default])


@pytest.mark.parametrize(("scale", "zero_point"), SCALES)
def test_a_hard_sigmoid_is_a_sum_and_a_product(scale: float, zero_point: int) -> None:
    graph, values = every_integer(gate, scale, zero_point)
    (expected,) = graph.outputs([values])
    found = in_integers(graph.module)
    assert operators(found) == {"add": 1, "mul": 1, "quantize_per_tensor": 5, "dequantize_per_tensor": 5}
    steps = 255 * (found(values) - expected)
    assert steps.abs().max() <= 1.001 and int((steps.abs() > 0.5).sum()) <= 2, "a value between two steps may go either way"
    exact = F.hardsigmoid(values)
    assert (found(values) - exact).abs().max() <= 0.501 / 255


def test_it_may_be_of_any_rank() -> None:
    graph, values = every_integer(lambda x: gate(stored(x.reshape(4, 64), 0.05, 0)), 0.05, 0)
    found = in_integers(graph.module)
    assert operators(found)["add"] == 1
    torch.testing.assert_close(found(values), F.hardsigmoid(values.reshape(4, 64)), rtol=0, atol=0.501 / 255)


def read_twice(x: Tensor) -> Tensor:
    y = F.hardsigmoid(x)
    return stored(y, 1 / 255, -128) + y


@pytest.mark.parametrize("function", [F.hardsigmoid, lambda x: gate(x + 1), read_twice], ids=["floats", "of floats", "both"])
def test_what_is_not_stored_stays(function: Callable[[Tensor], Tensor]) -> None:
    graph, _ = every_integer(function, 0.05, 0)
    before = operators(graph.module)
    assert operators(in_integers(graph.module)) == before and before["hardsigmoid"] == 1


@pytest.mark.parametrize("scale", [3e-5, 20.0])
def test_scales_too_far_apart_stay(scale: float) -> None:
    graph, _ = every_integer(gate, scale, 0)
    assert operators(in_integers(graph.module))["hardsigmoid"] == 1


def test_a_program_without_any_is_the_same() -> None:
    graph: Graph = every_integer(lambda x: x + 1, 0.05, 0)[0]
    assert in_integers(graph.module) is graph.module
