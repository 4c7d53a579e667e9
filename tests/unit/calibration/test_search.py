"""The budget search keeps the layers in float that need it, and no others."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.fx import GraphModule

import onenet
from onenet.base.metrics import sqnr_db
from onenet.calibration.decide import decide
from onenet.calibration.observe import Calibration, observe
from onenet.calibration.recipe import W8, Recipe, Rule
from onenet.calibration.search import Candidate, Search, SearchResult, layer_costs, search
from onenet.errors import CheckError
from onenet.lowering.operators import DEQUANTIZE_CHANNELS
from onenet.lowering.proof import outputs
from onenet.models.build import build
from tests.unit.calibration.observed import IMAGES, LAYERS, QUICK, observed


def sqnr_of(calibration: Calibration) -> Callable[[GraphModule], float]:
    inputs = [torch.from_numpy(each[None]) for each in IMAGES]
    wanted = np.concatenate([outputs(calibration.program, [each])[0].numpy() for each in inputs])

    def measure(program: GraphModule) -> float:
        return sqnr_db(wanted, np.concatenate([outputs(program, [each])[0].numpy() for each in inputs]))

    return measure


def floats_of(program: GraphModule) -> frozenset[str]:
    """Layers whose weights are float."""
    layers = [node for node in program.graph.nodes if str(node.target).startswith("aten.conv")]
    return frozenset(node.name for node in layers if node.all_input_nodes[1].target is not DEQUANTIZE_CHANNELS)


def check(result: SearchResult, budget: float) -> None:
    """What is true of every result."""
    assert result.chosen.quality >= budget
    assert floats_of(result.quantized.reference) == set(result.chosen.floats)
    tried = [each.floats for each in result.tried]
    assert len(set(tried)) == len(tried)
    front = result.front
    for small, large in itertools.pairwise(front):
        assert small.weight_bytes < large.weight_bytes
        assert small.quality < large.quality
    for each in result.tried:
        assert any(best.weight_bytes <= each.weight_bytes and best.quality >= each.quality for best in front)


@functools.cache
def searched(sensitive: tuple[int, ...]) -> tuple[SearchResult, list[int]]:
    """What 25 dB take, and the progress that was reported."""
    progress: list[int] = []
    calibration = observed(sensitive)
    return search(calibration, QUICK, sqnr_of(calibration), 25.0, progress.append), progress


def is_minimal(calibration: Calibration, result: SearchResult, measure: Callable[[GraphModule], float], budget: float) -> bool:
    trial = Search(calibration, QUICK, measure)
    return all(trial.try_out(frozenset(result.chosen.floats) - {name}).quality < budget for name in result.chosen.floats)


# --- planted layers ---------------------------------------------------------


@pytest.mark.parametrize("sensitive", [(1,), (4,), (1, 3)], ids=str)
def test_exactly_the_sensitive_layers_leave_int8(sensitive: tuple[int, ...]) -> None:
    calibration = observed(sensitive)
    measure = sqnr_of(calibration)
    assert measure(decide(calibration, QUICK).reference) < 15
    result, progress = searched(sensitive)
    assert progress == [1] * 5  # each layer's sensitivity as it is measured
    check(result, 25.0)
    assert result.chosen.floats == tuple(LAYERS[place] for place in sensitive)
    assert is_minimal(calibration, result, measure, 25.0)
    assert len(sensitive) > 1 or len(result.tried) == 3  # none, all, and the one that helps most
    assert result.quantized.record.recipe.name == f"int8, {len(sensitive)} float"


def test_what_the_result_is_made_of() -> None:
    calibration = observed((2,))
    measure = sqnr_of(calibration)
    result = search(calibration, replace(QUICK, bias_correction=True), measure, 25.0)
    check(result, 25.0)
    assert measure(result.quantized.reference) == result.chosen.quality
    assert result.quantized.record.recipe.bias_correction
    again = onenet.calibrate(calibration.model, result.quantized.record)  # the record holds the choice
    assert floats_of(again.reference) == {"conv2d_2"}
    assert measure(again.reference) == result.chosen.quality


def test_nothing_leaves_int8_where_nothing_has_to() -> None:
    calibration = observed(())
    result, progress = searched(())
    check(result, 25.0)
    assert result.chosen.floats == ()
    assert (len(result.tried), progress) == (1, [])
    assert result.quantized.record == decide(calibration, QUICK).record
    assert result.chosen.int8_share == 1


def test_only_int8_layers_of_the_recipe_are_candidates() -> None:
    calibration = observed((1, 3))
    recipe = Recipe("mine", (Rule("float", name="conv2d_1"), Rule("w8", name="conv2d_2"), Rule("int8")), bias_correction=False)
    result = search(calibration, recipe, sqnr_of(calibration), 25.0)
    assert result.chosen.floats == ("conv2d_3",)
    assert floats_of(result.quantized.reference) == {"conv2d_1", "conv2d_3"}
    costs = layer_costs(calibration)
    weights = {name: count for name, (count, _) in costs.items()}
    expected = {name: 4 if name in ("conv2d_1", "conv2d_3") else 1 for name in LAYERS}
    assert result.chosen.weight_bytes == sum(weights[name] * expected[name] for name in LAYERS)
    products = {name: count for name, (_, count) in costs.items()}
    assert result.chosen.int8_share == pytest.approx((products["conv2d"] + products["conv2d_4"]) / sum(products.values()))


# --- budgets ----------------------------------------------------------------


def test_a_budget_that_cannot_be_met_names_the_best() -> None:
    calibration = observed((2,))
    with pytest.raises(CheckError) as caught:
        search(calibration, QUICK, lambda program: -10.0 + len(floats_of(program)), 0.0)
    assert str(caught.value) == "the budget cannot be met: -5.00 with 5 layers in float, 0.00 asked"


def test_a_quality_that_is_no_number_meets_no_budget() -> None:
    with pytest.raises(CheckError, match="the budget cannot be met"):
        search(observed(()), QUICK, lambda _: float("nan"), 0.0)


def test_a_network_without_int8_layers() -> None:
    calibration = observed((2,))
    with pytest.raises(CheckError, match="with 0 layers in float"):
        search(calibration, W8, lambda _: 0.0, 1.0)
    pool = onenet.lower(build(nn.AvgPool2d(2), input_size=(12, 12)))
    assert search(observe(pool, list(IMAGES)), QUICK, lambda _: 1.0, 1.0).chosen == Candidate((), 0, 0.0, 1.0)


NEEDS: dict[str, Callable[[frozenset[str]], float]] = {
    "one of two": lambda floats: float(bool(floats & {"conv2d_1", "conv2d_3"})),
    "either pair": lambda floats: float(floats >= {"conv2d", "conv2d_1"} or floats >= {"conv2d_2", "conv2d_3"}),
}


@pytest.mark.parametrize("name", NEEDS)
def test_no_layer_stays_in_float_for_nothing(name: str) -> None:
    def measure(program: GraphModule) -> float:
        return NEEDS[name](floats_of(program))

    calibration = observed((2,))
    result = search(calibration, QUICK, measure, 1.0)
    check(result, 1.0)
    fewest = {"one of two": 1, "either pair": 2}
    assert len(result.chosen.floats) == fewest[name]
    assert is_minimal(calibration, result, measure, 1.0)


def test_a_tighter_budget_costs_more() -> None:
    calibration = observed((1, 3))
    loose = search(calibration, QUICK, sqnr_of(calibration), -1000.0).chosen
    tight = searched((1, 3))[0].chosen
    assert loose.weight_bytes < tight.weight_bytes
    assert loose.quality < tight.quality
    assert loose.int8_share > tight.int8_share


def test_costs() -> None:
    assert layer_costs(observed(())) == {
        "conv2d": (3 * 8 * 9, 3 * 8 * 9 * 144),
        **dict.fromkeys(LAYERS[1:4], (64, 64 * 144)),
        "conv2d_4": (32, 32 * 144),
    }
