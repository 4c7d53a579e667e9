from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.fx import Node

from onenet.lowering.rules.distinct_outputs import results
from tests.unit.lowering.graphs import IMAGE, Function, Trial, alone, graph_of


def trial_of(function: Callable[[Tensor], object]) -> Trial:
    return alone("distinct_outputs", Function(function))  # type: ignore[arg-type]  # networks of several outputs


def same(x: Tensor) -> tuple[Tensor, ...]:
    y = x.relu()
    return y, y.sigmoid(), y, y


CASES: dict[str, tuple[Callable[[Tensor], object], int]] = {
    "the input": (lambda x: x, 1),
    "the input among others": (lambda x: (x, x.relu(), x), 2),
    "one value three times": (same, 2),
}


@pytest.mark.parametrize("name", CASES)
def test_every_output_is_a_value_of_its_own(name: str) -> None:
    function, added = CASES[name]
    trial = trial_of(function)
    assert trial.result.applied == trial.operators["reshape"] == added
    nodes = trial.module.graph.output_node().args[0]
    assert isinstance(nodes, (list, tuple))
    assert len(set(nodes)) == len(nodes)
    assert not any(isinstance(node, Node) and node.op == "placeholder" for node in nodes)


def test_outputs_that_differ_stay() -> None:
    assert trial_of(lambda x: (x.relu(), x.sigmoid())).left()


def test_results_are_in_order() -> None:
    graph = graph_of(Function(lambda x: (x.sigmoid(), torch.relu(x))), [torch.zeros(IMAGE)])  # type: ignore[arg-type,return-value]
    assert [node.name for node in results(graph)] == ["sigmoid", "relu"]
