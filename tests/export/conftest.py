"""Small awkward networks and the shipped models, each exported once per test run and only where a test asks for it."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import onenet
from onenet.base.quiet import quiet
from onenet.calibration.quantized import QuantizedModel
from onenet.calibration.recipe import INT8
from onenet.calibration.record import CalibrationRecord
from onenet.calibration.samples import (
    LabelledImages,
    Samples,
    default_calibration,
    default_evaluation,
    load_labelled,
    load_samples,
)
from onenet.exporters.results import ExportedArtifact
from onenet.model import Model
from onenet.models import REGISTRY
from onenet.models.build import build
from onenet.models.onenet import OneNet
from onenet.models.output import Output
from onenet.spec import ModelSpec, TensorSpec, numbered_classes
from tests.conftest import awkward_onenet, smooth_images
from tests.shared import made_once

SHIPPED = [entry.name for entry in REGISTRY.values() if entry.weights and entry.builder == "onenet.models.onenet"]
"""The OneNets among the shipped models: what ``test_shipped`` and others say of operators and forms is true of these."""


@dataclass(frozen=True)
class Net:
    """A small OneNet and the input it is exported for."""

    variant: str
    kernel: int | None
    shape: tuple[int, int, int, int]
    """(N, C, H, W)."""

    def make(self) -> tuple[nn.Module, ModelSpec]:
        batch, channels, height, width = self.shape
        net = awkward_onenet(self.variant, kernel=self.kernel, channels_in=channels, width=6)
        module = trained(net, three_levels(8, channels, height, width))
        image = TensorSpec("image", "image", self.shape, "NCHW", value_range=(0.0, 1.0))
        logits = TensorSpec("logits", "logits", (batch, 3, height, width), "NCHW")
        return module, ModelSpec(f"{self.variant}{self.kernel}", "segmentation", (image,), (logits,), numbered_classes(3))


def three_levels(count: int, channels: int, height: int, width: int) -> np.ndarray:
    """Images of dark, middle and bright regions with noise; float32 in [0, 1]. Channel 0's level is the class to find."""
    levels = np.floor(smooth_images(count, channels, height, width) * 2.999)
    noise = np.random.default_rng(1).uniform(0, 0.1, levels.shape)
    return (levels * 0.4 + 0.05 + noise).astype(np.float32)


def trained(net: OneNet, pictures: np.ndarray, steps: int = 250) -> OneNet:
    """Fit everything to ``three_levels`` but the BatchNorm scales, which stay as awkward as they are.

    Classes of random weights differ by less than an int8 step at 1 to 4 % of the pixels: no test could ask for equal labels.
    """
    images = torch.from_numpy(pictures)
    labels = ((images[:, 0] - 0.05) / 0.4).long()
    free = [value for name, value in net.named_parameters() if not name.endswith("bn.weight")]
    optimiser = torch.optim.Adam(free, lr=0.01)
    for _ in range(steps):
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(images), labels).backward()
        optimiser.step()
    return net.requires_grad_(False)


NETS = {
    "ed": Net("ed", None, (1, 3, 32, 48)),
    "ed, spatial": Net("ed", 9, (1, 3, 24, 40)),
    "e, batch of two": Net("e", None, (2, 3, 40, 24)),
    "e, spatial, one channel, tall": Net("e", 3, (1, 1, 48, 8)),
}


PLAIN = replace(INT8, estimator="min-max", bias_correction=False)
"""The same ranges and biases whatever a network gives: what brings probabilities nearer need not bring logits nearer."""


@functools.cache
def network_of(name: str) -> tuple[nn.Module, ModelSpec]:
    """A small net as a factory returns it: what every artifact of it must compute."""
    return made_once(f"{name}, trained", NETS[name].make)


@functools.cache
def model_of(name: str, output: Output = "logits") -> Model:
    """The deploy form of a small net or a shipped model."""
    with quiet():
        return onenet.lower(build((lambda: network_of(name)) if name in NETS else name, output=output))


@functools.cache
def quantized_of(name: str, output: Output = "logits") -> QuantizedModel:
    model = model_of(name, output)
    _, channels, height, width = model.spec.inputs[0].shape

    recipe = INT8 if output == "logits" else PLAIN

    def record() -> CalibrationRecord:
        if name in NETS:
            return onenet.calibrate(model, list(three_levels(8, channels, height, width)), recipe=recipe).record
        return onenet.calibrate(model, load_samples(default_calibration(), height, width), recipe=recipe).record

    with quiet():
        return onenet.calibrate(model, made_once(f"{name}, {output}, record", record))


@functools.cache
def evaluation_of(name: str) -> LabelledImages | Samples:
    _, channels, height, width = model_of(name).spec.inputs[0].shape
    if name not in NETS:
        return load_labelled(default_evaluation(), height, width)
    images = three_levels(6, channels, height, width)
    return Samples.of_images("levels", images)


def few_of(name: str, precision: str) -> LabelledImages | Samples:
    """The evaluation images that an export is given. Of a shipped model all for int8 only: each takes seconds in Core ML's
    evaluator."""
    if name in NETS or precision == "int8":
        return evaluation_of(name)
    _, _, height, width = model_of(name).spec.inputs[0].shape
    return load_labelled(default_evaluation(), height, width, limit=2)


def images_of(name: str) -> np.ndarray:
    """The evaluation images, (N, C, H, W)."""
    found = evaluation_of(name)
    return found.samples.arrays if isinstance(found, LabelledImages) else found.arrays


@dataclass
class Artifacts:
    """Exports on demand and remembers: a conversion takes seconds, and many tests look at the same one, in any worker."""

    folder: Path
    made: dict[tuple[str, ...], ExportedArtifact] = field(default_factory=dict)

    def __call__(
        self, name: str, target: str, precision: str, *, io: str = "float", output: Output = "logits"
    ) -> ExportedArtifact:
        key = (name, target, precision, io, output)
        if key not in self.made:
            self.made[key] = made_once("_".join(key), lambda: self.export(*key))
        return self.made[key]

    def export(self, name: str, target: str, precision: str, io: str, output: Output) -> ExportedArtifact:
        source = quantized_of(name, output) if precision == "int8" else model_of(name, output)
        options = dict(target=target, precision=precision, io=io, evaluation=few_of(name, precision))
        made: ExportedArtifact = onenet.export(source, out=self.folder / f"{name}, {output}, {io}", **options)
        return made


@pytest.fixture(scope="session")
def artifacts(shared_folder: Path) -> Artifacts:
    return Artifacts(shared_folder)
