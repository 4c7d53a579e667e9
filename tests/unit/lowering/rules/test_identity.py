from __future__ import annotations

import pytest
import torch
from torch import nn

from onenet.lowering.driver import RULES, run_rule
from tests.unit.lowering.graphs import Function, alone, graph_of, lowered, operators, stack

LAYERS = {
    "dropout": nn.Dropout(0.3),
    "in place": nn.Dropout(0.3, inplace=True),
    "of whole channels": nn.Dropout2d(0.3),
    "alpha": nn.AlphaDropout(0.3),
    "detach": Function(torch.detach),
}


@pytest.mark.parametrize("name", LAYERS)
def test_what_gives_its_input_back_disappears(name: str) -> None:
    trial = alone("identity", stack(nn.Conv2d(4, 4, 1), LAYERS[name], nn.ReLU()))
    assert (trial.result.applied, trial.operators) == (1, {"conv2d": 1, "relu": 1})


def test_a_batch_norm_folds_past_it() -> None:
    found = lowered(stack(nn.Conv2d(4, 4, 1), nn.Dropout(0.5), nn.BatchNorm2d(4)))
    assert operators(found.module) == {"conv2d": 1}


def test_a_dropout_that_somebody_keeps_on_stays() -> None:
    module = Function(lambda x: nn.functional.dropout(x, 0.5, training=True))
    graph = graph_of(module, [torch.zeros(1, 4, 8, 8)])
    result = run_rule(RULES.get("identity", "rule"), graph)
    assert (result.applied, result.declined) == (0, {"drops values at random": 1})
