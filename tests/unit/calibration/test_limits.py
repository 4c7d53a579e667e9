"""The size of weights does not matter, and what is written is what integer kernels can carry."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest
from torch import nn
from torch.fx import GraphModule, Node

import onenet
from onenet.base.metrics import sqnr_db
from onenet.base.quiet import quiet
from onenet.calibration.decide import quantize_weights
from onenet.calibration.outputs import float_outputs
from onenet.calibration.quantized import QuantizedModel
from onenet.lowering.operators import DEQUANTIZE, NEW_SCALE, QUANTIZE, RELU, WEIGHTED, aten
from onenet.models.build import build
from tests.conftest import smooth_images
from tests.unit.calibration.scaled import FORMS, HARD, SIZE

IMAGES = smooth_images(4, 3, *SIZE)
SIZES = (10.0, 1.0, 1e-3, 1e-6)


@functools.cache
def quantized(make: Callable[[], nn.Module]) -> QuantizedModel:
    with quiet():
        return onenet.calibrate(onenet.lower(build(make().eval(), input_size=SIZE)), list(IMAGES))


def decibels(model: QuantizedModel) -> float:
    return sqnr_db(float_outputs(model.model, IMAGES), float_outputs(model.model, IMAGES, model.reference))


@pytest.mark.parametrize("form", FORMS)
def test_the_size_of_weights_does_not_matter(form: str) -> None:
    models = [quantized(functools.partial(FORMS[form], size)) for size in SIZES]
    for found in ([decibels(each) for each in models], [decibels(quantize_weights(each.model)) for each in models]):
        assert min(found) > 30
        assert max(found) - min(found) < 1


def layers_in(program: GraphModule) -> list[tuple[float, np.ndarray, np.ndarray, float]]:
    """Of each layer: scale of its input, scales of its weights, bias, scale of its result; float64."""
    values = {**dict(program.named_buffers()), **dict(program.named_parameters())}

    def numbers(node: Node) -> np.ndarray:
        return values[str(node.target)].detach().double().numpy()

    found = []
    for node in program.graph.nodes:
        if node.target in WEIGHTED:
            last = next(iter(node.users)) if next(iter(node.users)).target in RELU else node
            (result,) = {each.args[1] for each in last.users if each.target is QUANTIZE}
            found.append((node.args[0].args[1], numbers(node.args[1].args[1]), numbers(node.args[2]), result))
    return found


@pytest.mark.parametrize("name", HARD)
def test_biases_and_factors_are_those_that_kernels_take(name: str) -> None:
    program = quantized(HARD[name]).reference
    layers = layers_in(program)
    assert len(layers) > 2
    for source, weights, bias, result in layers:
        assert np.abs(bias / (source * weights)).max() <= 2.0**30 * (1 + 1e-6)
        assert (source * weights / result).max() < 256
        assert (source * weights).min() > np.finfo(np.float32).tiny
    for node in program.graph.nodes:
        if node.target in NEW_SCALE and node.target is not aten.mul.Tensor:
            sources = [each.args[1] for each in node.args if isinstance(each, Node) and each.target is DEQUANTIZE]
            last = next(iter(node.users)) if next(iter(node.users)).target in RELU else node
            (result,) = {each.args[1] for each in last.users}
            assert sources
            assert all(2.0**-10 <= source / result < 2.0**8 for source in sources)


@pytest.mark.parametrize("name", HARD)
def test_hard_networks_keep_their_accuracy(name: str) -> None:
    model = quantized(HARD[name])
    assert decibels(model) > 35
    assert decibels(quantize_weights(model.model)) > 35


def test_only_the_channels_that_need_it_get_a_larger_scale() -> None:
    model = quantized(HARD["smaller filters"])
    values = {**dict(model.reference.named_buffers()), **dict(model.reference.named_parameters())}
    (node, *_) = (each for each in model.reference.graph.nodes if each.target in WEIGHTED)
    weight = values[str(node.args[1].args[0].target)].flatten(1).abs().amax(1)
    assert weight[3:].tolist() == [127] * 5
    assert all(0 <= each < 127 for each in weight[1:3])
