"""One calibration, three artifacts: the scales, weights and biases read back from the files are those of the record."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.fx import Node

from onenet.calibration.scheme import EPSILON
from onenet.lowering.operators import DEQUANTIZE, QUANTIZE, RELU, WEIGHTED
from tests.export.conftest import SHIPPED, Artifacts, quantized_of
from tests.export.stored import Pair, Stored, StoredLayer, read
from tests.shared import few

NAMES = ["onenet-ed4", "ed"]
TARGETS = ["tflite", "onnx", "coreml"]


@dataclass(frozen=True, eq=False)
class Decided:
    """What the calibration decided for a layer."""

    weights: NDArray[np.int8]
    scales: NDArray[np.float32]
    bias: NDArray[np.float32]
    source: Pair
    result: Pair
    tensors: tuple[str, str]
    """Names of what it reads and gives in the calibrated network."""


def pair_of(node: Node) -> Pair:
    assert node.target in (QUANTIZE, DEQUANTIZE)
    return np.float32(node.args[1]), int(node.args[2])  # type: ignore[arg-type]  # numbers


@functools.cache
def decided(name: str) -> dict[str, Decided]:
    program = quantized_of(name).reference
    values: dict[str, Any] = {**dict(program.named_buffers()), **dict(program.named_parameters())}
    found = {}
    for node in program.graph.nodes:
        if node.target not in WEIGHTED:
            continue
        source, weight, bias = node.args[:3]
        last = next(user for user in node.users) if next(iter(node.users)).target in RELU else node
        (quantize,) = last.users
        weights, scales = (values[str(each.target)].detach().numpy() for each in weight.args[:2])
        tensors = (source.args[0].args[0].name, last.name)
        layer = (weights, scales, values[str(bias.target)].detach().numpy())
        found[node.name] = Decided(*layer, pair_of(source), pair_of(quantize), tensors)
    assert len(found) > 10
    return found


@functools.cache
def stored(artifacts: Artifacts, name: str, target: str) -> Stored:
    return read(artifacts(name, target, "int8").path, quantized_of(name))


Artifacts.__hash__ = object.__hash__  # type: ignore[method-assign, assignment]  # one per test run


def rows(layer: StoredLayer | Decided) -> list[bytes]:
    """Each filter's scale and values. A target's form may have channels in another order."""
    assert layer.scales is not None
    assert (layer.weights.dtype, layer.scales.dtype) == (np.int8, np.float32)
    return sorted(
        scale.tobytes() + np.sort(row, axis=None).tobytes() for row, scale in zip(layer.weights, layer.scales, strict=True)
    )


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NAMES)
def test_activations_have_the_scales_of_the_record(name: str, target: str, artifacts: Artifacts) -> None:
    record = quantized_of(name).record
    assert len(record.sites) > 10
    assert stored(artifacts, name, target).activations == {
        (np.float32(site.scale), site.zero_point) for site in record.sites.values()
    }


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NAMES)
def test_each_layer_reads_and_gives_its_own_scales(name: str, target: str, artifacts: Artifacts) -> None:
    layers, expected = stored(artifacts, name, target).layers, decided(name)
    assert layers.keys() == expected.keys()
    for layer, own in expected.items():
        assert layers[layer].source == own.source, layer
        if layers[layer].result is not None:
            assert layers[layer].result == own.result, layer
    # Where something only moves what a layer gives, its scale may be stored behind that.
    assert sum(each.result is not None for each in layers.values()) > 0.7 * len(layers)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NAMES)
def test_each_layer_has_its_own_weights(name: str, target: str, artifacts: Artifacts) -> None:
    for layer, own in decided(name).items():
        assert rows(stored(artifacts, name, target).layers[layer]) == rows(own), layer


@pytest.mark.parametrize("name", NAMES)
def test_biases_are_exact(name: str, artifacts: Artifacts) -> None:
    for layer, own in decided(name).items():
        for target in ("onnx", "coreml"):
            bias = stored(artifacts, name, target).layers[layer].bias
            assert bias is not None
            assert bias.dtype == np.float32
            assert np.array_equal(np.sort(bias), np.sort(own.bias)), (layer, target)
        integer = stored(artifacts, name, "tflite").layers[layer]
        assert integer.bias is not None
        assert integer.bias.dtype == np.int32
        assert integer.source is not None
        assert integer.scales is not None
        assert integer.bias_scales is not None
        assert np.array_equal(integer.bias_scales, integer.source[0] * integer.scales), layer
        exact = integer.bias.astype(np.float64) * integer.bias_scales
        float_bias = stored(artifacts, name, "onnx").layers[layer].bias
        assert float_bias is not None
        # As close as int32 at this scale can be.
        assert np.abs(np.sort(exact) - np.sort(float_bias)).max() <= 0.5001 * integer.bias_scales.max(), layer


@pytest.mark.parametrize("name", NAMES)
def test_the_record_says_what_the_network_does(name: str) -> None:
    record = quantized_of(name).record
    sites = {tensor: site for site in record.sites.values() for tensor in site.names}
    for layer, own in decided(name).items():
        for tensor, pair in zip(own.tensors, (own.source, own.result), strict=True):
            assert (np.float32(sites[tensor].scale), sites[tensor].zero_point) == pair, (layer, tensor)
    assert all(site.scale >= EPSILON for site in record.sites.values())


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NAMES)
def test_outputs_have_the_scale_that_the_manifest_gives(name: str, target: str, artifacts: Artifacts) -> None:
    (output,) = artifacts(name, target, "int8").manifest["golden"]["outputs"]
    ((scale, zero_point),) = (pair for pair in quantized_of(name).outputs if pair)
    assert (np.float32(scale), zero_point) in stored(artifacts, name, target).activations
    assert (output["scale"], output["zero_point"]) == (scale, zero_point)


@pytest.mark.parametrize("name", NAMES)
def test_the_files_agree_with_one_another(name: str, artifacts: Artifacts) -> None:
    one, *others = (stored(artifacts, name, target) for target in TARGETS)
    for other in others:
        assert other.activations == one.activations
        assert other.layers.keys() == one.layers.keys()
        for layer in one.layers:
            assert rows(other.layers[layer]) == rows(one.layers[layer])
            assert other.layers[layer].source == one.layers[layer].source


# --- the shipped calibration ------------------------------------------------


@pytest.mark.parametrize("name", few(SHIPPED, 2))
def test_the_shipped_calibration_gives_no_warning(name: str) -> None:
    record = quantized_of(name).record
    assert record.warnings() == []
    assert (record.samples, record.seed) == (32, None)
    assert record.worst_site is not None  # both halves hold images


@pytest.mark.parametrize("name", few(SHIPPED, 2))
def test_a_correction_of_biases_is_in_the_network(name: str) -> None:
    model = quantized_of(name)
    plain = dict(model.model.module.named_parameters()) | dict(model.model.module.named_buffers())
    biases = [value.detach() for value in plain.values() if value.dim() == 1]
    for layer, own in decided(name).items():
        shift = model.record.bias(layer)
        known = [bias for bias in biases if bias.numel() == len(own.bias)]
        shifted = [bias if shift is None else bias + torch.from_numpy(shift.copy()) for bias in known]
        assert any(np.array_equal(bias.numpy(), own.bias) for bias in shifted), layer
