"""Which layers to keep out of int8 so that a budget holds: as few as possible.

Layers are ranked by what each one alone wins at the output when it computes in float. They leave int8 in that order until the
budget holds; then each that turns out not to be needed goes back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from onenet.calibration.decide import decide, output_error
from onenet.calibration.observe import Calibration
from onenet.calibration.quantized import QuantizedModel
from onenet.calibration.recipe import Recipe, Rule
from onenet.calibration.scheme import is_layer, layers_of
from onenet.errors import CheckError
from onenet.lowering.graph import Graph

Measure = Callable[[torch.fx.GraphModule], float]
"""Quality of a quantized program, larger is better; for example its SQNR in dB, or minus the drop of mIoU in points."""


@dataclass(frozen=True)
class Candidate:
    """One choice of layers kept in float."""

    floats: tuple[str, ...]
    weight_bytes: int
    int8_share: float
    """Of all multiplications, those that compute in int8."""
    quality: float


@dataclass(frozen=True)
class SearchResult:
    """What met the budget, and everything that was measured on the way."""

    quantized: QuantizedModel
    chosen: Candidate
    tried: tuple[Candidate, ...]

    @property
    def front(self) -> list[Candidate]:
        """The candidates that no other beats in both size and quality, smallest first."""
        found: list[Candidate] = []
        for each in sorted(self.tried, key=lambda c: (c.weight_bytes, -c.quality)):
            if not found or each.quality > found[-1].quality:
                found.append(each)
        return found


class Search:
    """Tries recipes on one calibration."""

    def __init__(self, calibration: Calibration, recipe: Recipe, measure: Measure) -> None:
        self.whole = decide(calibration, recipe)
        recipe = self.whole.record.recipe  # what it left open is decided now, and not anew for every choice of layers
        self.calibration, self.recipe, self.measure = calibration, recipe, measure
        self.precisions = {name: recipe.precision_of(operator, name) for operator, name in layers_of(calibration.program)}
        self.layers = [name for name, precision in self.precisions.items() if precision == "int8"]
        self.costs = layer_costs(calibration)
        self.tried: dict[frozenset[str], Candidate] = {}

    def without(self, floats: frozenset[str], *, correct: bool = True) -> QuantizedModel:
        """The network with these layers in float."""
        if not floats:
            return self.whole
        rules = tuple(Rule("float", name=name) for name in self.layers if name in floats)
        recipe = replace(self.recipe, name=f"{self.recipe.name}, {len(rules)} float", rules=(*rules, *self.recipe.rules))
        return decide(self.calibration, recipe if correct else replace(recipe, bias_correction=False))

    def try_out(self, floats: frozenset[str]) -> Candidate:
        """Size, work and quality with these layers in float; each choice is measured once."""
        if floats not in self.tried:
            names = tuple(name for name in self.layers if name in floats)
            precisions = {**self.precisions, **dict.fromkeys(floats, "float")}
            size = sum(count * (4 if precisions[name] == "float" else 1) for name, (count, _) in self.costs.items())
            products = sum(each for _, each in self.costs.values())
            int8 = sum(each for name, (_, each) in self.costs.items() if precisions[name] == "int8")
            quality = self.measure(self.without(floats).reference)
            self.tried[floats] = Candidate(names, size, int8 / max(products, 1), quality)
        return self.tried[floats]

    def ranked(self, progress: Callable[[int], None] | None) -> list[str]:
        """Layers by what they win alone, most first."""
        errors = {}
        for name in self.layers:
            errors[name] = output_error(self.calibration, self.without(frozenset([name]), correct=False))
            if progress:
                progress(1)
        return sorted(self.layers, key=errors.__getitem__)


def search(
    calibration: Calibration,
    recipe: Recipe,
    measure: Measure,
    budget: float,
    progress: Callable[[int], None] | None = None,
) -> SearchResult:
    """Keep the fewest layers out of int8 so that ``measure`` reaches ``budget``.

    Args:
        calibration: what ``observe`` returned.
        recipe: where to start; only its int8 layers are candidates.
        measure: quality of a quantized program, larger is better.
        budget: the least quality to accept.
        progress: called with 1 for each layer whose sensitivity was measured, if any has to be.

    Raises:
        CheckError: not even with all layers in float; names the best that was found.
    """
    trial = Search(calibration, recipe, measure)
    floats: frozenset[str] = frozenset()
    if not trial.try_out(floats).quality >= budget:  # also true of NaN
        if not trial.try_out(frozenset(trial.layers)).quality >= budget:
            best = max(trial.tried.values(), key=lambda c: c.quality)
            found = f"{best.quality:.2f} with {len(best.floats)} layers in float"
            raise CheckError(f"the budget cannot be met: {found}, {budget:.2f} asked")
        ranking = trial.ranked(progress)
        for name in ranking:
            floats = floats | {name}
            if trial.try_out(floats).quality >= budget:
                break
        for name in ranking:  # the least needed were added last, so they stay in question last
            fewer = floats - {name}
            if name in floats and trial.try_out(fewer).quality >= budget:
                floats = fewer
    # Made once more, because the networks of all candidates together would not fit into memory.
    return SearchResult(trial.without(floats), trial.tried[floats], tuple(trial.tried.values()))


def layer_costs(calibration: Calibration) -> dict[str, tuple[int, int]]:
    """Weights and multiplications of each layer."""
    graph = Graph.of(calibration.program)
    costs = {}
    for node in filter(is_layer, graph.module.graph.nodes):
        weight = graph.value(node.args[1])
        assert weight is not None
        positions = node.meta["val"].numel() // weight.shape[0]  # each result takes as many products as a filter has weights
        costs[node.name] = (weight.numel(), positions * weight.numel())
    return costs
