"""int8 files with one layer's weights zeroed, scaled or permuted: ``verify`` fails wherever the outputs move, on all targets.

Networks whose outputs a check could miss: one float channel, several outputs, one row of classes.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import onenet
from onenet.base.quiet import quiet
from onenet.calibration.samples import Samples
from onenet.exporters.job import Job, as_list
from onenet.exporters.layers import Reference
from onenet.exporters.pipeline import export, make_job
from onenet.runtimes import parity
from onenet.runtimes.artifact import open_artifact
from onenet.runtimes.values import as_numbers, power
from tests.conftest import enliven, smooth_images
from tests.export.faults import FORMATS

SIDE = 32


class Trunk(nn.Module):
    """Two convolutions that other networks end in their own way."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)

    def features(self, image: Tensor) -> Tensor:
        return F.relu(self.second(F.relu(self.first(image))))


class Depth(Trunk):
    """One float channel behind an operator that is not quantized."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(16, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        return torch.exp(-0.5 * self.head(self.features(image)))


class Two(Trunk):
    """Boxes, and scores that are wrong where their own head is."""

    def __init__(self) -> None:
        super().__init__()
        self.boxes, self.scores = nn.Conv2d(16, 4, 1), nn.Conv2d(16, 2, 3, stride=2, padding=1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        found = self.features(image)
        return self.boxes(found), self.scores(found).sigmoid()


class Classes(Trunk):
    """One row of classes an image."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(16, 24, 1)

    def forward(self, image: Tensor) -> Tensor:
        return F.max_pool2d(self.head(F.max_pool2d(self.features(image), 4, 4)), SIDE // 4, SIDE // 4).flatten(1)


NETS = {"depth": Depth, "two outputs": Two, "classes": Classes}


@functools.cache
def job_of(name: str) -> Callable[[str], Job]:
    """The int8 job of a network for a target, with its calibration made once."""
    torch.manual_seed(0)
    images = smooth_images(8, 3, SIDE, SIDE).astype(np.float32)
    net = NETS[name]()
    enliven(net, torch.from_numpy(images))
    with quiet():
        quantized = onenet.calibrate(onenet.lower(onenet.build(net.eval(), input_size=(SIDE, SIDE))), list(images))
    return lambda target: make_job(quantized, target, "int8", "float")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """A right file: its export checks it."""
    out = tmp_path_factory.mktemp("right")

    @functools.cache
    def make(name: str, target: str) -> Path:
        quantized = job_of(name)(target).quantized
        assert quantized is not None
        pictures = Samples.of_images("waves", smooth_images(8, 3, SIDE, SIDE)[6:])
        return export(quantized, target=target, precision="int8", out=out / name, evaluation=pictures).path

    return make


def permuted(weights: np.ndarray) -> np.ndarray:
    """Another order of all values: not of rows, which few networks would notice in a convolution without neighbours."""
    return np.random.default_rng(0).permutation(weights.reshape(-1)).reshape(weights.shape)


MUTATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "zeroed": np.zeros_like,
    "scaled": lambda weights: np.rint(weights / 1.1).astype(weights.dtype),
    "permuted": permuted,
}


def mutants(path: Path, target: str, job: Job, folder: Path) -> Iterator[tuple[str, Path]]:
    """Copies of a file, each with the weights of one convolution changed."""
    layers = [place for place in Reference(job).places.values() if place.operators[0].startswith("conv2d")]
    assert len(layers) >= 3
    for layer in layers:
        for name, edit in MUTATIONS.items():
            which = f"{layer.operators[0]} {name}"
            copy = folder / which / path.name
            copy.parent.mkdir()
            (shutil.copytree if path.is_dir() else shutil.copy)(path, copy)
            file = FORMATS[target](copy)
            file.edit_weight(layer.names, edit)
            file.save()
            yield which, copy


def unseen() -> np.ndarray:
    """Pictures that no calibration and no check looks at, in the 8 bits that a Core ML image holds."""
    pictures: np.ndarray = np.rint(smooth_images(12, 3, SIDE, SIDE)[8:] * 255).astype(np.float32) / np.float32(255)
    return pictures


def outputs_of(path: Path) -> list[np.ndarray]:
    """On ``unseen``."""
    artifact = open_artifact(path)
    results = [artifact.run({"image": each[None]}) for each in unseen()]
    return [np.concatenate([each[spec.name] for each in results]) for spec in artifact.outputs]


def moved(right: list[np.ndarray], mutant: list[np.ndarray], floats: list[np.ndarray]) -> bool:
    """Whether any output moved by more than int8 itself costs."""
    columns = zip(right, mutant, floats, strict=True)
    return any(power(as_numbers(m) - r) > power(as_numbers(r) - f) for r, m, f in columns)


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("name", NETS)
def test_a_mutant_that_moves_the_outputs_fails(
    name: str, target: str, exported: Callable[[str, str], Path], tmp_path: Path
) -> None:
    job, path = job_of(name)(target), exported(name, target)
    assert parity.verify_here(path).passed
    right = outputs_of(path)
    with torch.no_grad():
        results = [as_list(job.model.module(torch.from_numpy(each[None]))) for each in unseen()]
    floats = [np.concatenate([each.numpy() for each in column]) for column in zip(*results, strict=True)]
    missed, seen = [], 0
    for which, mutant in mutants(path, target, job, tmp_path):
        if moved(right, outputs_of(mutant), floats):
            seen += 1
            missed += [which] if parity.verify_here(mutant).passed else []
    assert seen >= 6  # mutations that change nothing would prove nothing
    assert not missed
