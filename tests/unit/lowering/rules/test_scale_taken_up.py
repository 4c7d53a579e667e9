from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from onenet.calibration.integers import in_integers
from onenet.lowering.graph import Graph
from onenet.lowering.operators import DEQUANTIZE, QUANTIZE
from tests.unit.lowering.graphs import operators
from tests.unit.lowering.rules.stored import every_integer, rewritten, stored

QUARTER, QUARTERS = torch.full((1, 1, 1, 1), 0.25), torch.full((1, 1, 16, 1), 0.25)


def quarter(of: Tensor = QUARTER) -> Tensor:
    return stored(of, 0.25 / 255, -128)


def test_the_same_integers_are_read_on_another_scale() -> None:
    graph, values = every_integer(lambda x: stored(x * quarter(), 0.01, 3) + 1, 0.04, 3)
    (expected,) = graph.outputs([values])
    assert rewritten(graph, "scale_taken_up") == [1]
    assert operators(graph.module) == {"quantize_per_tensor": 1, "dequantize_per_tensor": 1, "add": 1}
    assert torch.equal(graph.outputs([values])[0], expected)
    (write,) = graph.calls(QUANTIZE)
    (read,) = graph.calls(DEQUANTIZE)
    assert (write.args[1], read.args[1]) == (0.04, 0.01)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: stored(x * quarter(), 0.011, 3),
        lambda x: stored(x * quarter(), 0.01, 4),
        lambda x: x * quarter(),
        lambda x: stored(x * quarter(QUARTERS), 0.01, 3),
        lambda x: stored(x * x, 0.01, 3),
    ],
    ids=["another scale", "another zero point", "not stored", "several numbers", "no number"],
)
def test_any_other_product_stays(function: Callable[[Tensor], Tensor]) -> None:
    graph, _ = every_integer(function, 0.04, 3)
    assert rewritten(graph, "scale_taken_up") == [0]


def test_a_hard_sigmoid_is_one_sum_then() -> None:
    graph, values = every_integer(lambda x: stored(F.hardsigmoid(x), 1 / 255, -128), 0.05, 0)
    made = Graph.of(in_integers(graph.module))
    (expected,) = made.outputs([values])
    assert operators(made.module)["mul"] == 1
    assert rewritten(made, "scale_taken_up") == [1]
    assert operators(made.module)["mul"] == 0
    assert torch.equal(made.outputs([values])[0], expected)
