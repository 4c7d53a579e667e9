"""Networks of several inputs in int8: calibrated by name, exported, verified layer by layer, and faults in them found."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import onenet
from onenet.base.quiet import quiet
from onenet.calibration.outputs import float_outputs
from onenet.calibration.quantized import QuantizedModel
from onenet.cli.app import app
from onenet.errors import CheckError, RequestError
from onenet.exporters import pipeline
from onenet.exporters.judgement import artifact_outputs
from onenet.exporters.layers import profile
from onenet.exporters.pipeline import make_job
from onenet.exporters.results import ExportedArtifact
from onenet.model import Model
from onenet.models.build import build
from onenet.spec import ModelSpec, TensorSpec
from tests import named

TARGETS = ("tflite", "onnx", "coreml")
SAMPLES = 40
"""Fewer leave values of a scalar out, which then saturate."""


@functools.cache
def quantized(name: str) -> QuantizedModel:
    with quiet():
        return onenet.calibrate(named.lowered(name), named.dictionaries(named.lowered(name), SAMPLES))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("named")


MADE: dict[tuple[str, str, str], ExportedArtifact] = {}
"""One conversion of each network for each target and precision."""


def artifact(folder: Path, name: str, target: str, precision: str = "int8") -> ExportedArtifact:
    key = (name, target, precision)
    if key not in MADE:
        network = quantized(name) if precision == "int8" else named.lowered(name)
        samples = named.evaluation(named.lowered(name))
        MADE[key] = onenet.export(network, target=target, precision=precision, out=folder, evaluation=samples)
    return MADE[key]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", named.NETWORKS)
def test_int8_is_the_reference(folder: Path, name: str, target: str) -> None:
    made = artifact(folder, name, target)
    assert made.verification is not None
    assert made.verification.passed
    model, samples = named.lowered(name), named.evaluation(named.lowered(name))
    feeds, scale = samples.feeds(model), quantized(name).outputs[0]
    assert scale is not None
    reference = float_outputs(model, feeds, quantized(name).reference)
    outputs = artifact_outputs(made.path, feeds, exact_int8=True)
    assert outputs is not None
    # Core ML takes images in 8 bits: the last half step of noise is cut off before the network sees it.
    assert np.abs(outputs - reference).max() / scale[0] <= (2.01 if target == "coreml" else 1.01)
    assert made.quality is not None
    assert made.quality.images == 4
    assert (made.quality.sqnr_db or 0) > 20
    layers = profile(make_job(quantized(name), target, "int8", "float"), made.path)
    assert layers.passed, layers.first_bad_layer
    assert len(layers.layers) >= 4


@pytest.mark.parametrize("target", ["tflite", "onnx"])
def test_int8_ends_have_scales_of_their_own(folder: Path, target: str) -> None:
    model = named.lowered("conditioned")
    made = onenet.export(quantized("conditioned"), target=target, io="int8", out=folder, evaluation=named.evaluation(model))
    inputs = {tensor["name"]: tensor for tensor in made.manifest["inputs"]}
    assert list(inputs) == ["picture", "text", "mask", "level"]
    ranges = dict(zip(inputs, quantized("conditioned").input_ranges, strict=True))
    for name, tensor in inputs.items():
        limits = ranges[name]
        assert limits is not None
        assert tensor["dtype"] == "int8"
        assert tensor["scale"] == pytest.approx((limits[1] - limits[0]) / 255, rel=1e-5)
    assert len({tensor["scale"] for tensor in inputs.values()}) == 4


@pytest.mark.parametrize("target", TARGETS)
def test_swapped_inputs_are_found(target: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two inputs of one shape: nothing but the values can tell; with samples and with the fixed pattern alike."""
    convert = pipeline.run_converter

    class Swapped(torch.nn.Module):
        def __init__(self, module: torch.nn.Module) -> None:
            super().__init__()
            self.module = module

        def forward(self, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.module(after, before)
            return result

    model = named.lowered("change")
    wrong = onenet.lower(build(lambda: (Swapped(named.make("change")[0]), model.spec)))

    def convert_swapped(exporter: object, _: object, path: Path) -> None:
        convert(exporter, make_job(wrong, target, "fp32", "float"), path)  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline, "run_converter", convert_swapped)
    for samples in (named.evaluation(model), None):
        with pytest.raises(CheckError, match="values of logits"):
            onenet.export(model, target=target, out=tmp_path, evaluation=samples)


@pytest.mark.parametrize("branch", ["text", "level", "picture"])
def test_a_dead_branch_is_found(branch: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    convert, model = pipeline.run_converter, named.lowered("conditioned")

    def dead() -> tuple[torch.nn.Module, ModelSpec]:
        module, spec = named.make("conditioned")
        torch.nn.init.zeros_(module.get_submodule(branch).weight)  # type: ignore[arg-type]
        return module, spec

    wrong = onenet.calibrate(onenet.lower(build(dead)), named.dictionaries(model, SAMPLES))

    def convert_dead(exporter: object, _: object, path: Path) -> None:
        convert(exporter, make_job(wrong, "onnx", "int8", "float"), path)  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline, "run_converter", convert_dead)
    with pytest.raises(CheckError, match="values of logits"):
        onenet.export(quantized("conditioned"), target="onnx", out=tmp_path, evaluation=named.evaluation(model))


def test_from_the_command_line(tmp_path: Path) -> None:
    model = named.lowered("conditioned")
    (tmp_path / "net.py").write_text("from tests import named\n\ndef make():\n    return named.make('conditioned')\n")
    for file, seed in (("calibration", 0), ("evaluation", 9)):
        np.savez(tmp_path / f"{file}.npz", **named.stacked(model, 12, seed))  # type: ignore[arg-type]  # numpy's own words
    network = ["--model", f"{tmp_path / 'net.py'}:make"]
    options = ["--target", "onnx", "--int8", "--out", str(tmp_path / "out"), "--calibration", str(tmp_path / "calibration.npz")]
    options += ["--evaluation", str(tmp_path / "evaluation.npz"), "--min-sqnr", "15"]
    result = CliRunner().invoke(app, ["export", *network, *options])
    assert result.exit_code == 0, result.output
    (path,) = (tmp_path / "out").glob("*.onnx")
    result = CliRunner().invoke(app, ["verify", str(path), "--layers", *network])
    assert result.exit_code == 0, result.output
    record = quantized("conditioned").record
    assert onenet.calibrate(model, record).outputs == quantized("conditioned").outputs


@pytest.mark.parametrize("target", ["tflite", "coreml"])
def test_a_type_that_the_target_would_change_is_refused(target: str, tmp_path: Path) -> None:
    def wide() -> tuple[torch.nn.Module, ModelSpec]:
        module, spec = named.make("token")
        token = TensorSpec("token", "scalar", (1,), dtype="int64", value_range=(0, 9))
        return module, ModelSpec(spec.name, spec.task, (spec.inputs[0], token, spec.inputs[2]), spec.outputs, spec.classes)

    model: Model = onenet.lower(build(wide))
    with pytest.raises(RequestError, match=r"input token is int64, which .* cannot take; give it int32"):
        onenet.export(model, target=target, out=tmp_path)


class Mean(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 1)

    def forward(self, picture: torch.Tensor, extra: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        value = self.conv(picture)
        return value + extra, value.mean([2, 3])


@pytest.mark.parametrize("target", TARGETS)
def test_an_output_with_the_name_of_an_operator(target: str, tmp_path: Path) -> None:
    inputs = (named.image("picture"), TensorSpec("extra", "mask", (1, 4, named.HEIGHT, named.WIDTH), "NCHW"))
    outputs = (TensorSpec("add", "scores", inputs[1].shape, "NCHW"), TensorSpec("mean", "embedding", (1, 4)))
    model = onenet.lower(build(lambda: (Mean(), ModelSpec("mean", "other", inputs, outputs))))
    quantized_mean = onenet.calibrate(model, named.dictionaries(model, 8))
    made = onenet.export(quantized_mean, target=target, out=tmp_path, evaluation=named.evaluation(model))
    assert profile(make_job(quantized_mean, target, "int8", "float"), made.path).passed
