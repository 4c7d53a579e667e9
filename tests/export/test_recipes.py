"""Recipes in the artifacts: what they keep in float is float in every file, what they put into int8 is int8."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import onenet
from onenet.base.files import sha256_of
from onenet.base.metrics import label_agreement, sqnr_db
from onenet.base.quiet import quiet
from onenet.calibration.decide import decide, quantize_weights
from onenet.calibration.estimators import ESTIMATORS
from onenet.calibration.observe import Calibration, observe
from onenet.calibration.quantized import QuantizedModel
from onenet.calibration.recipe import INT8, Recipe, Rule, x86_safe
from onenet.calibration.record import CalibrationRecord
from onenet.calibration.samples import Samples
from onenet.exporters.results import ExportedArtifact
from onenet.models.build import build
from onenet.runtimes.artifact import open_artifact
from onenet.runtimes.backends.litert import operators
from tests.export.conftest import SHIPPED, Artifacts, evaluation_of, images_of, model_of, quantized_of, three_levels
from tests.export.stored import Stored, read
from tests.shared import few

TARGETS = ["tflite", "onnx", "coreml"]
SIZE = (16, 24)


class Branches(nn.Module):
    """A skip connection into a concatenation, and a pixel shuffle before the head."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
        self.middle, self.up, self.head = nn.Conv2d(16, 16, 1), nn.Conv2d(16, 16, 1), nn.Conv2d(4, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        skip = F.relu(self.first(x))
        joined = torch.cat([skip, F.relu(self.second(skip))], 1)
        result: Tensor = self.head(F.pixel_shuffle(F.relu(self.up(F.relu(self.middle(joined)))), 2))
        return result


LAYERS = ["conv2d", "conv2d_1", "conv2d_2", "conv2d_3", "conv2d_4"]
INT8_RULE = Rule("int8")
RECIPES = {
    "first and middle": Recipe("a", (Rule("float", name="conv2d"), Rule("float", name="conv2d_2"), INT8_RULE)),
    "before a concat and before a shuffle": Recipe("b", (Rule("float", operator="conv2d", name="*_[13]"), INT8_RULE)),
    "float head, w8 before the shuffle": Recipe("c", (Rule("float", name="conv2d_4"), Rule("w8", name="conv2d_3"), INT8_RULE)),
}
PRECISIONS = {
    "first and middle": ["float", "int8", "float", "int8", "int8"],
    "before a concat and before a shuffle": ["int8", "float", "int8", "float", "int8"],
    "float head, w8 before the shuffle": ["int8", "int8", "int8", "w8", "float"],
}


@functools.cache
def observed() -> Calibration:
    """Trained for a moment: classes of random weights differ by less than a step."""
    torch.manual_seed(0)
    net, pictures = Branches(), torch.from_numpy(three_levels(8, 3, *SIZE))
    labels = ((F.interpolate(pictures[:, :1], scale_factor=2)[:, 0] - 0.05) / 0.4).long().clamp(0, 2)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(150):
        optimiser.zero_grad()
        F.cross_entropy(net(pictures), labels).backward()
        optimiser.step()
    with quiet():
        model = onenet.lower(build(net.requires_grad_(False), input_size=SIZE))
        return observe(model, list(pictures.numpy()))


@functools.cache
def quantized(name: str) -> QuantizedModel:
    with quiet():
        return decide(observed(), RECIPES[name])


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> object:
    folder = tmp_path_factory.mktemp("recipes")
    pictures = three_levels(4, 3, *SIZE)
    images = Samples.of_images("levels", pictures)

    @functools.cache
    def export(name: str, target: str) -> ExportedArtifact:
        artifact: ExportedArtifact = onenet.export(quantized(name), target=target, out=folder, evaluation=images)
        return artifact

    return export


def outputs_of(path: Path, images: np.ndarray) -> np.ndarray:
    artifact = open_artifact(path, exact_int8=True)
    return np.concatenate([artifact.run({artifact.inputs[0].name: each[None]})[artifact.outputs[0].name] for each in images])


def kind_of(stored: Stored, name: str) -> str:
    """A layer's precision, as a file has it."""
    layer = stored.layers[name]
    if layer.scales is None:
        assert layer.weights.dtype == np.float32
        return "float"
    assert layer.weights.dtype == np.int8
    return "int8" if layer.source and layer.result else "w8"


# --- mixed recipes ----------------------------------------------------------


@pytest.mark.parametrize(("name", "target"), few(itertools.product(RECIPES, TARGETS), 7))
def test_every_layer_has_the_precision_that_its_rule_gives(name: str, target: str, exported) -> None:  # type: ignore[no-untyped-def]
    stored = read(exported(name, target).path, quantized(name))
    assert [kind_of(stored, layer) for layer in LAYERS] == PRECISIONS[name]


@pytest.mark.parametrize(("name", "target"), few(itertools.product(RECIPES, TARGETS), 7))
def test_values_are_those_of_the_reference(name: str, target: str, exported) -> None:  # type: ignore[no-untyped-def]
    artifact = exported(name, target)
    assert artifact.verification.passed
    images = three_levels(3, 3, *SIZE)
    with torch.no_grad():
        expected = torch.cat([quantized(name).reference(torch.from_numpy(each[None])) for each in images]).numpy()
        plain = torch.cat([observed().program(torch.from_numpy(each[None])) for each in images]).numpy()
    found = outputs_of(artifact.path, images)
    assert sqnr_db(expected, found) > 30
    assert sqnr_db(plain, found) > 20
    assert label_agreement(expected.argmax(1), found.argmax(1)) > 0.995


@pytest.mark.parametrize("name", few(RECIPES, 4))
def test_tflite_operators_around_float_layers(name: str, exported) -> None:  # type: ignore[no-untyped-def]
    kinds = [(operator, types) for operator, types in operators(exported(name, "tflite").path) if operator == "CONV_2D"]
    # Weights that a DEQUANTIZE gives are listed beside the activations.
    types = {"int8": ("int8", "int8"), "float": ("float32", "float32"), "w8": ("float32",) * 3}
    assert kinds == [("CONV_2D", types[each]) for each in PRECISIONS[name]]


@pytest.mark.parametrize("name", few(RECIPES, 4))
def test_the_recipe_is_in_the_manifest_and_in_the_name(name: str, exported) -> None:  # type: ignore[no-untyped-def]
    artifact = exported(name, "onnx")
    taken = Recipe.from_dict(artifact.manifest["recipe"])
    assert taken == quantized(name).record.recipe == dataclasses.replace(RECIPES[name], estimator=taken.estimator)
    assert taken.estimator in ESTIMATORS
    assert artifact.path.name == f"Branches_int8_{RECIPES[name].name}.onnx"
    assert artifact.manifest["calibration"] == {"id": quantized(name).record.id, "samples": 8}
    assert artifact.manifest["calibration_record"]["id"] == quantized(name).record.id


# --- int8 weights alone -----------------------------------------------------


def check_w8(artifact: ExportedArtifact, name: str) -> None:
    with quiet():
        stored = read(artifact.path, quantize_weights(model_of(name)))
    assert stored.activations == set()
    assert {kind_of(stored, name) for name in stored.layers} == {"w8"}
    assert all(layer.source is layer.result is None for layer in stored.layers.values())
    assert all(layer.bias is None or layer.bias.dtype == np.float32 for layer in stored.layers.values())
    assert all(int(np.abs(layer.weights).max()) == 127 for layer in stored.layers.values())
    assert len(stored.layers) > 10
    assert artifact.verification is not None
    assert artifact.verification.passed
    values = [check for check in artifact.verification.checks if check.name.startswith("values")]
    assert values
    assert all(check.passed for check in values)


@pytest.mark.parametrize("target", TARGETS)
def test_w8_of_a_small_net(target: str, artifacts: Artifacts) -> None:
    artifact = artifacts("ed", target, "w8")
    check_w8(artifact, "ed")
    images = images_of("ed")
    with torch.no_grad():
        expected = torch.cat([model_of("ed").module(torch.from_numpy(each[None])) for each in images]).numpy()
    # 8 bits a weight and none lost in the activations; int8 measures 20 to 25 dB here.
    assert sqnr_db(expected, outputs_of(artifact.path, images)) > 25


@pytest.mark.parametrize("target", few(TARGETS, 3))
def test_w8_of_a_shipped_model(target: str, artifacts: Artifacts) -> None:
    (name,) = SHIPPED[:1]
    artifact = artifacts(name, target, "w8")
    check_w8(artifact, name)
    floats = 4 * sum(each.numel() for each in [*model_of(name).module.parameters(), *model_of(name).module.buffers()])
    assert artifact.bytes <= 0.30 * floats  # a float file holds at least its weights
    assert artifact.quality is not None
    assert artifact.quality.sqnr_db is not None
    assert artifact.quality.sqnr_db > 30
    assert artifact.quality.label_agreement is not None
    assert artifact.quality.label_agreement > 0.998


def test_w8_needs_no_images_and_no_scales() -> None:
    artifact_model = model_of("ed")
    with pytest.raises(onenet.errors.RequestError, match="int8 needs scales"):
        onenet.export(artifact_model, precision="int8")  # type: ignore[operator]


# --- x86 without VNNI -------------------------------------------------------


@pytest.fixture(scope="module")
def safe() -> QuantizedModel:
    with quiet():
        return onenet.calibrate(model_of("ed"), list(three_levels(8, 3, 32, 48)), recipe=x86_safe(INT8))


@pytest.mark.parametrize("target", TARGETS)
def test_x86_safe_weights_stay_within_63(target: str, safe: QuantizedModel, tmp_path: Path) -> None:
    artifact = onenet.export(safe, target=target, out=tmp_path, evaluation=evaluation_of("ed"))  # type: ignore[operator]
    assert artifact.path.name.startswith("edNone_int8_x86-safe.")
    stored = read(artifact.path, safe)
    assert len(stored.layers) > 10
    for layer in stored.layers.values():
        assert layer.weights.dtype == np.int8
        # Unsigned 8-bit activations times two neighbouring weights fit into 16 bits, whichever neighbours they are.
        assert np.abs(layer.weights.astype(int)).max() == 63
    images = images_of("ed")
    with torch.no_grad():
        expected = torch.cat([safe.reference(torch.from_numpy(each[None])) for each in images]).numpy()
        plain = torch.cat([model_of("ed").module(torch.from_numpy(each[None])) for each in images]).numpy()
    native = open_artifact(artifact.path)  # with this CPU's own kernels, saturating or not
    found = np.concatenate([native.run({"image": each[None]})["logits"] for each in images])
    assert label_agreement(expected.argmax(1), found.argmax(1)) > 0.99
    assert sqnr_db(plain, found) > 15


# --- records ----------------------------------------------------------------


@pytest.mark.parametrize("target", few(TARGETS, 3))
def test_a_record_gives_the_same_bytes_without_the_images(target: str, artifacts: Artifacts, tmp_path: Path) -> None:
    first = artifacts("ed", target, "int8")
    quantized_of("ed").record.save(tmp_path / "record.json")
    with quiet():
        again = onenet.calibrate(model_of("ed"), CalibrationRecord.load(tmp_path / "record.json"))
    second = onenet.export(again, target=target, out=tmp_path, evaluation=evaluation_of("ed"))  # type: ignore[operator]
    assert quantized_of("ed").record.biases
    assert second.path.name == first.path.name
    assert sha256_of(second.path) == sha256_of(first.path)
    assert dataclasses.replace(second, path=first.path, seconds=0) == dataclasses.replace(first, seconds=0)
    assert onenet.verify(second.path).passed


def test_images_in_another_order_give_the_same_bytes(artifacts: Artifacts, tmp_path: Path) -> None:
    with quiet():
        again = onenet.calibrate(model_of("ed"), list(three_levels(8, 3, 32, 48)[::-1]))
    second = onenet.export(again, target="onnx", out=tmp_path, evaluation=evaluation_of("ed"))  # type: ignore[operator]
    assert sha256_of(second.path) == sha256_of(artifacts("ed", "onnx", "int8").path)
