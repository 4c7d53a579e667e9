"""Bias correction takes out the mean error of every channel, and stays only where that helps at the output."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import onenet
from onenet.calibration.bias import averaged, correct_biases, run_with_means
from onenet.calibration.decide import decide, output_error, quantize
from onenet.calibration.observe import Calibration, observe
from onenet.calibration.quantized import QuantizedModel
from onenet.calibration.recipe import INT8, W8, Recipe, Rule
from onenet.calibration.record import decoded
from onenet.calibration.scheme import layers_of
from onenet.models.build import build
from tests.conftest import awkward_onenet, smooth_images

COARSE = replace(INT8, weight_limit=7)
"""4-bit weights: their rounding shifts every mean by much."""


class Shared(nn.Module):
    """Two layers with one bias, one without any, and a linear one behind a mean."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 1), nn.Conv2d(6, 6, 1, bias=False)
        self.second.bias = self.first.bias
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.third(self.second(self.first(x).relu()).relu()).relu().mean([2, 3]))
        return result


@functools.cache
def observed(name: str) -> Calibration:
    torch.manual_seed(3)
    if name == "shared":
        module: nn.Module = Shared()
    elif name == "sequence":
        module = nn.Sequential(nn.Flatten(2), nn.Conv1d(3, 8, 5), nn.ReLU(), nn.Conv1d(8, 4, 1))
    else:
        module = awkward_onenet(name, layers=2)
    return observe(onenet.lower(build(module, input_size=(16, 24))), list(smooth_images(8, 3, 16, 24)))


NAMES = {"shared": COARSE, "sequence": COARSE, "ed": COARSE}


def plain(recipe: Recipe) -> Recipe:
    return replace(recipe, bias_correction=False)


@torch.no_grad()
def mean_errors(calibration: Calibration, model: QuantizedModel) -> dict[str, Tensor]:
    """What each channel of each layer is off by on average."""
    found = averaged([means for _, means in run_with_means(quantized_layers(model), calibration.inputs)])
    return {name: (found[name] - wanted).abs() for name, wanted in calibration.means.items()}


def quantized_layers(model: QuantizedModel) -> torch.fx.GraphModule:
    """The reference with weights in float again, of the same values, so that its layers are found."""
    program = model.reference
    for node in list(program.graph.nodes):
        if "dequantize_per_channel" in str(node.target):
            value = node.target(
                *[getattr(program, str(each.target)) if isinstance(each, torch.fx.Node) else each for each in node.args]
            )
            program.register_buffer(f"float_{node.name}", value)
            with program.graph.inserting_before(node):
                node.replace_all_uses_with(program.graph.get_attr(f"float_{node.name}"))
    program.recompile()
    return program


@pytest.mark.parametrize("name", NAMES)
def test_the_output_error_falls(name: str) -> None:
    calibration = observed(name)
    before, corrected = (decide(calibration, recipe) for recipe in (plain(NAMES[name]), NAMES[name]))
    assert before.record.biases == {}
    assert corrected.record.biases.keys() == {layer for _, layer in layers_of(calibration.program)}
    assert output_error(calibration, corrected) < 0.9 * output_error(calibration, before)


@pytest.mark.parametrize("name", NAMES)
def test_every_channel_keeps_its_mean(name: str) -> None:
    calibration = observed(name)
    before, after = (mean_errors(calibration, decide(calibration, recipe)) for recipe in (plain(NAMES[name]), NAMES[name]))
    assert before.keys() == {layer for _, layer in layers_of(calibration.program)}
    for layer, errors in after.items():
        assert before[layer].max() > 1e-4
        assert errors.max() < 0.03 * before[layer].max()


def test_corrections_have_one_number_for_each_channel() -> None:
    record = decide(observed("shared"), COARSE).record
    assert {name: len(decoded(text)) for name, text in record.biases.items()} == {
        "conv2d": 6,
        "conv2d_1": 6,
        "conv2d_2": 6,
        "linear": 4,
    }


def test_layers_that_share_a_bias_are_corrected_apart() -> None:
    calibration = observed("shared")
    before = {name: value.clone() for name, value in calibration.model.module.state_dict().items()}
    model = decide(calibration, COARSE)
    values = dict(model.reference.named_buffers()) | dict(model.reference.named_parameters())
    layers = {
        node.name: node for node in model.reference.graph.nodes if str(node.target).startswith(("aten.conv", "aten.linear"))
    }
    biases = {name: values[str(node.args[2].target)] for name, node in layers.items()}
    shared = next(value for value in before.values() if value.shape == (6,))
    for name in ("conv2d", "conv2d_1"):
        shift = model.record.bias(name)
        assert shift is not None
        assert torch.equal(biases[name], shared + torch.from_numpy(shift.copy()))
    assert not torch.equal(biases["conv2d"], biases["conv2d_1"])
    none = model.record.bias("conv2d_2")
    assert none is not None
    assert np.array_equal(biases["conv2d_2"].numpy(), none)
    after = calibration.model.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_correction_that_does_not_help_is_dropped() -> None:
    # The range that entropy chooses for so few values saturates: means then say nothing of the rounding.
    calibration = observed("ed")
    recipe = replace(INT8, estimator="entropy")
    dropped = decide(calibration, recipe)
    assert dropped.record.biases == {}
    uncorrected = decide(calibration, replace(recipe, bias_correction=False))
    corrections = correct_biases(calibration.means, uncorrected.reference, calibration.inputs)
    with_them = quantize(calibration.model, replace(uncorrected.record, biases=corrections.biases))
    assert output_error(calibration, with_them) >= output_error(calibration, dropped)
    assert dropped.record.recipe.bias_correction


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("recipe", [INT8, replace(W8, bias_correction=True)], ids=["int8", "w8"])
def test_the_output_error_never_rises(name: str, recipe: Recipe) -> None:
    calibration = observed(name)
    errors = [output_error(calibration, decide(calibration, replace(recipe, bias_correction=each))) for each in (True, False)]
    assert errors[0] <= errors[1]


def test_layers_in_float_make_up_for_those_before_them() -> None:
    recipe = replace(COARSE, rules=(Rule("float", name="linear"), Rule("int8")))
    record = decide(observed("shared"), recipe).record
    assert np.abs(decoded(record.biases["linear"])).max() < 0.02 * np.abs(decoded(record.biases["conv2d"])).max()
    alone = replace(COARSE, rules=(Rule("int8", name="linear"),))
    assert np.abs(decoded(decide(observed("shared"), alone).record.biases["conv2d"])).max() < 1e-12


def test_the_inputs_are_left_alone() -> None:
    calibration = observed("shared")
    before = [each.clone() for (each,) in calibration.inputs]
    decide(calibration, COARSE)
    assert all(torch.equal(a, b) for (a,), b in zip(calibration.inputs, before, strict=True))


class Spectral(nn.Module):
    """A Fourier transform has no proof in float64: the network is calibrated as it is, with its batch norm."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.norm, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Conv2d(8, 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.norm(self.first(image)).relu()
        result: Tensor = self.last(torch.fft.irfft2(torch.fft.rfft2(x) * 0.5, s=x.shape[2:]))
        return result


def test_a_batch_norm_that_stays_is_no_obstacle() -> None:
    with pytest.warns(UserWarning, match="exported as it is"):
        lowered = onenet.lower(build(Spectral().eval(), input_size=(16, 16)))
    calibration = observe(lowered, list(smooth_images(4, 3, 16, 16)))
    plain = decide(calibration, replace(INT8, bias_correction=False))
    found = correct_biases(calibration.means, plain.reference, calibration.inputs)
    assert found.biases
    again = quantize(calibration.model, replace(plain.record, biases=found.biases), calibration.program)
    assert output_error(calibration, again) < 1
