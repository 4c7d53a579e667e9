"""What a recipe leaves open is decided by the network's outputs, on samples that the ranges did and did not see."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import onenet
from onenet.calibration.decide import WORTH, apart_in, attempt, decide, generalizes, output_error
from onenet.calibration.inputs import sha256
from onenet.calibration.observe import Calibration, observe, trace
from onenet.calibration.quantized import QuantizedModel
from onenet.calibration.recipe import INT8, W8, Recipe
from onenet.calibration.record import CalibrationRecord
from onenet.calibration.search import Search
from onenet.models.build import build
from tests.conftest import enliven, smooth_images

SIDE = 96
FLASH = (1, 1)
"""The place of the one white pixel of each image: where values are counted, which are not all, it is none of them."""
PLAIN = replace(INT8, bias_correction=False)


class Flash(nn.Module):
    """A white pixel lights up the first of 16 channels, ten times as strongly as anything else does the others.

    Outputs that read this channel lose most of their signal where its range is cut to the other values; those that do not
    only have finer steps by it.
    """

    def __init__(self, reading: tuple[float, ...]) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 16, 1)
        enliven(self.features, torch.from_numpy(images(False)))
        with torch.no_grad():
            self.features.weight[0], self.features.bias[0] = 0.0, -950.0
            self.features.weight[0, 0] = 1000.0
        self.heads = nn.ModuleList(nn.Conv2d(16, 4, 1) for _ in reading)
        for head, weight in zip(self.heads, reading, strict=True):
            assert isinstance(head, nn.Conv2d)
            head.weight.data[:, 0] = weight

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        features = self.features(x).relu()
        outputs = tuple(head(features) for head in self.heads)
        return outputs if len(outputs) > 1 else outputs[0]


def images(flashing: bool = True) -> np.ndarray:
    """Eight, no value above 0.9 but the one white pixel."""
    found = 0.9 * smooth_images(8, 3, SIDE, SIDE)
    if flashing:
        found[:, :, FLASH[0], FLASH[1]] = 1.0
    return found


@functools.cache
def flash(*reading: float) -> Calibration:
    torch.manual_seed(0)
    return observe(onenet.lower(build(Flash(reading), input_size=(SIDE, SIDE))), list(images()))


def tried(calibration: Calibration, recipe: Recipe = PLAIN) -> dict[str, QuantizedModel]:
    return {name: decide(calibration, replace(recipe, estimator=name)) for name in ("min-max", "mse")}


def errors(calibration: Calibration) -> dict[str, float]:
    return {name: output_error(calibration, each) for name, each in tried(calibration).items()}


# --- the estimator ----------------------------------------------------------


def test_ranges_are_cut_where_the_outputs_gain_by_it() -> None:
    calibration = flash(0.0)
    wide, cut = errors(calibration).values()
    assert wide > 2 * WORTH * cut
    found = decide(calibration, PLAIN)
    assert found.record == tried(calibration)["mse"].record
    assert found.record.recipe.estimator == "mse"


def test_ranges_stay_wide_where_the_outputs_lose_by_a_cut() -> None:
    calibration = flash(20.0)
    wide, cut = errors(calibration).values()
    assert cut > 2 * wide
    assert decide(calibration, PLAIN).record == tried(calibration)["min-max"].record


def test_the_wider_range_is_taken_where_the_other_is_hardly_better() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 1))
    pictures = smooth_images(8, 3, 32, 48)
    enliven(module, torch.from_numpy(pictures))
    calibration = observe(onenet.lower(build(module, input_size=(32, 48))), list(pictures))
    wide, cut = errors(calibration).values()
    assert cut < wide < WORTH * cut
    assert decide(calibration, PLAIN).record.recipe.estimator == "min-max"


@pytest.mark.parametrize("reading", [(0.0, 20.0), (20.0, 0.0)], ids=str)
def test_every_output_has_a_say(reading: tuple[float, float]) -> None:
    assert decide(flash(*reading), PLAIN).record.recipe.estimator == "min-max"


def test_an_estimator_that_was_asked_for_is_taken() -> None:
    assert tried(flash(0.0))["min-max"].record.recipe.estimator == "min-max"


def test_without_ranges_there_is_nothing_to_choose() -> None:
    assert decide(flash(0.0), replace(W8, estimator="auto")).record.recipe == W8


@pytest.mark.parametrize(("reading", "name"), [(0.0, "mse"), (20.0, "min-max")], ids=str)
def test_a_record_says_what_was_taken_and_gives_it_again(reading: float, name: str, tmp_path: Path) -> None:
    calibration = flash(reading)
    found = decide(calibration, INT8)
    found.record.save(tmp_path / "record.json")
    record = CalibrationRecord.load(tmp_path / "record.json")
    assert record == found.record
    assert record.recipe.estimator == name
    again = onenet.calibrate(calibration.model, record)
    assert again.record.id == found.record.id
    assert str(again.reference.graph) == str(found.reference.graph)
    values = [model.reference.state_dict() for model in (found, again)]
    assert values[0].keys() == values[1].keys()
    assert all(torch.equal(values[0][key], values[1][key]) for key in values[0])


def test_a_budget_s_search_decides_once() -> None:
    calibration = flash(0.0)
    trial = Search(calibration, PLAIN, lambda _: 0.0)
    assert trial.recipe.estimator == "mse"
    assert trial.without(frozenset()).record == decide(calibration, PLAIN).record
    assert trial.without(frozenset(trial.layers[:1])).record.recipe.estimator == "mse"


# --- concatenations ---------------------------------------------------------


class Joined(nn.Module):
    """A layer's results go into the next one, and beside the much larger ones of a third into a concatenation."""

    def __init__(self, larger: float, moved: bool) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
        self.d, self.moved = nn.Conv2d(16, 4, 1), moved
        enliven(self, torch.from_numpy(smooth_images(8, 3, 16, 24)))
        with torch.no_grad():
            self.c.weight.mul_(larger)

    def forward(self, x: Tensor) -> Tensor:
        first = self.a(x).relu()
        other = self.c(self.b(first).relu())
        parts = [each[:, :, :, 1:] if self.moved else each for each in (first, other)]
        result: Tensor = self.d(torch.cat(parts, 1))
        return result


@functools.cache
def joined(larger: float, moved: bool = False) -> Calibration:
    torch.manual_seed(0)
    model = onenet.lower(build(Joined(larger, moved), input_size=(16, 24)))
    return observe(model, list(smooth_images(8, 3, 16, 24)))


def scale_of(model: QuantizedModel, name: str) -> float:
    return next(site.scale for site in model.record.sites.values() if name in site.names)


@pytest.mark.parametrize("moved", [False, True], ids=["as it is", "moved"])
def test_what_is_joined_with_larger_values_keeps_its_own_scale(moved: bool, tmp_path: Path) -> None:
    calibration = joined(30.0, moved)
    found = decide(calibration, PLAIN)
    assert scale_of(found, "relu") < scale_of(found, "cat") / 4
    found.record.save(tmp_path / "record.json")
    again = onenet.calibrate(calibration.model, CalibrationRecord.load(tmp_path / "record.json"))
    assert again.record == found.record
    assert str(again.reference.graph) == str(found.reference.graph)


@pytest.mark.parametrize("moved", [False, True], ids=["as it is", "moved"])
def test_what_is_joined_with_its_like_shares_the_scale(moved: bool) -> None:
    found = decide(joined(1.0, moved), PLAIN)
    assert scale_of(found, "relu") == scale_of(found, "cat")


def test_the_outputs_gain_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    calibration = joined(30.0)
    apart = output_error(calibration, decide(calibration, PLAIN))
    monkeypatch.setattr("onenet.calibration.decide.MOST_SHARED", float("inf"))
    assert output_error(calibration, decide(calibration, PLAIN)) > 4 * apart


# --- ends with a fixed scale -------------------------------------------------

ENDS = {"sigmoid": torch.sigmoid, "hard sigmoid": F.hardsigmoid, "tanh": torch.tanh}


class Ended(nn.Module):
    """Values between -size and size through a gate, which leaves the network as it is, shuffled, or joined with its source."""

    def __init__(self, gate: Callable[[Tensor], Tensor], size: float, way: str) -> None:
        super().__init__()
        self.layer, self.gate, self.way = nn.Conv2d(3, 8, 1), gate, way
        enliven(self.layer, torch.from_numpy(smooth_images(8, 3, 16, 24)))
        self.size = nn.Parameter(torch.tensor(size))

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        values = self.layer(x)
        values = self.size * (values / values.abs().amax())
        gate = self.gate(values)
        if self.way == "joined":
            return gate, torch.cat([gate, values], 1)
        if self.way == "beside another":  # the three share the fixed scale
            return gate, torch.cat([gate, self.gate(-values)], 1)
        return F.pixel_shuffle(gate, 2) if self.way == "moved" else gate


@functools.cache
def ended(name: str, size: float, way: str = "as it is") -> Calibration:
    torch.manual_seed(0)
    model = onenet.lower(build(Ended(ENDS[name], size, way), input_size=(16, 24)))
    return observe(model, list(smooth_images(8, 3, 16, 24)))


def end_of(model: QuantizedModel) -> tuple[float, int]:
    assert model.outputs[0] is not None
    return model.outputs[0]


@pytest.mark.parametrize("way", ["as it is", "moved", "joined"])
@pytest.mark.parametrize("name", ENDS)
def test_an_output_that_fills_little_of_a_fixed_scale_has_its_own(name: str, way: str, tmp_path: Path) -> None:
    calibration = ended(name, 0.3, way)
    found = decide(calibration, PLAIN)
    scale, _ = end_of(found)
    values = [each[0] for each in calibration.expected]
    low, high = min(float(each.min()) for each in values), max(float(each.max()) for each in values)
    assert scale == pytest.approx((max(high, 0) - min(low, 0)) / 255, rel=0.05)
    found.record.save(tmp_path / "record.json")
    again = onenet.calibrate(calibration.model, CalibrationRecord.load(tmp_path / "record.json"))
    assert (again.record, again.outputs) == (found.record, found.outputs)
    assert str(again.reference.graph) == str(found.reference.graph)


@pytest.mark.parametrize("way", ["as it is", "moved", "joined", "beside another"])
@pytest.mark.parametrize("name", ENDS)
def test_one_that_fills_it_has_the_fixed_scale(name: str, way: str) -> None:
    found = decide(ended(name, 6.0, way), PLAIN)
    assert end_of(found)[0] == pytest.approx({"sigmoid": 1 / 256, "hard sigmoid": 1 / 255, "tanh": 1 / 128}[name])
    again = onenet.calibrate(found.model, found.record)
    assert end_of(found) == end_of(again)
    assert str(again.reference.graph) == str(found.reference.graph)
    assert not apart_in(trace(found.model), found.record)


@pytest.mark.parametrize("name", ENDS)
def test_the_output_gains_by_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calibration = ended(name, 0.3)
    own = output_error(calibration, decide(calibration, PLAIN))
    monkeypatch.setattr("onenet.calibration.decide.MUCH_TOO_WIDE", float("inf"))
    assert output_error(calibration, decide(calibration, PLAIN)) > 1.5 * own


# --- corrected biases -------------------------------------------------------


def tinted(count: int) -> np.ndarray:
    """Images whose means differ much."""
    tints = np.random.default_rng(1).uniform(0, 1, (count, 3, 1, 1))
    return (smooth_images(count, 3, 16, 24) * tints).astype(np.float32)


@functools.cache
def pooled(count: int) -> Calibration:
    """Layers behind a global mean have one value for each image: that of few images says little of others."""
    torch.manual_seed(2)
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    for _ in range(3):
        layers += [nn.Linear(64, 64, bias=False), nn.ReLU()]
    module = nn.Sequential(*layers, nn.Linear(64, 8, bias=False))
    return observe(onenet.lower(build(module, input_size=(16, 24))), list(tinted(count)))


POOLED = replace(INT8, estimator="mse")


def test_the_halves_of_the_inputs_are_those_of_the_samples() -> None:
    calibration = pooled(4)
    halves = {each.tobytes(): int(sha256(sha256(each.tobytes()).encode()), 16) % 2 for each in tinted(4)}
    assert calibration.halves == [halves[inputs[0].numpy().tobytes()] for inputs in calibration.inputs]
    assert set(calibration.halves) == {0, 1}


def test_corrections_that_help_no_other_inputs_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    calibration = pooled(4)
    trial = attempt(calibration, POOLED)
    assert not trial.biases and not generalizes(calibration, trial.quantized)
    assert trial.error == output_error(calibration, trial.quantized), "ranges are not chosen by what does not stay"
    assert decide(calibration, POOLED).record.biases == {}
    monkeypatch.setattr("onenet.calibration.decide.generalizes", lambda *_: True)
    kept = attempt(calibration, POOLED)
    assert kept.biases and kept.error < trial.error, "they help with the inputs that they were made from"


def test_inputs_of_one_half_ask_nothing() -> None:
    calibration = pooled(1)
    trial = attempt(calibration, POOLED)
    assert trial.biases
    assert decide(calibration, POOLED).record.biases == trial.biases
