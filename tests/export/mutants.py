"""Right files with one layer's weights changed: does ``verify`` find those whose outputs move by more than the margin?

The digest of a file's content finds all of them. So they are also sealed anew, as if the converter had made them wrong: then
only their values speak.

``tests/export/test_mutations.py`` asks it of a few networks, ``python -m bench.mutations`` of many.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from onenet.base.arrays import Array
from onenet.base.quiet import quiet
from onenet.calibration.quantized import QuantizedModel
from onenet.calibration.samples import Samples
from onenet.exporters.job import Job, as_list
from onenet.exporters.layers import named_module, places_of
from onenet.exporters.pipeline import export, make_job
from onenet.model import Model
from onenet.runtimes import parity
from onenet.runtimes.artifact import Artifact, open_artifact
from onenet.runtimes.values import TOLERANCES, as_numbers, power
from tests.export.faults import FORMATS, reseal

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


class Labels(Trunk):
    """No values, only which of five channels is the largest."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(16, 5, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.features(image)).argmax(1).int()


TOYS: dict[str, Callable[[], nn.Module]] = {"depth": Depth, "two outputs": Two, "classes": Classes, "labels": Labels}
"""Networks whose outputs a check could miss."""


def permuted(weights: Array) -> Array:
    """Another order of all values: not of rows, which few networks would notice in a convolution without neighbours."""
    return np.random.default_rng(0).permutation(weights.reshape(-1)).reshape(weights.shape)


def scaled(weights: Array) -> Array:
    """Divided by 1.1: an int8 weight of 127 could not grow."""
    smaller: Array = weights / 1.1
    return (smaller if weights.dtype.kind == "f" else np.rint(smaller)).astype(weights.dtype)


MUTATIONS: dict[str, Callable[[Array], Array]] = {"zeroed": np.zeros_like, "scaled": scaled, "permuted": permuted}


@dataclass
class Tally:
    """What was asked of the mutants of one file."""

    made: int = 0
    moved: int = 0
    """Whose outputs move by more than the margin."""
    unsealed: int = 0
    """Of all, those that ``verify`` does not open, because their content was changed."""
    missed: list[str] = field(default_factory=list)
    """Sealed anew: of those that moved, which pass ``verify``, with what it says."""


def tally(
    source: Model | QuantizedModel, target: str, precision: str, pictures: Sequence[Array], folder: Path, most: int = 6
) -> Tally:
    """Export, change the weights of at most so many layers in each of the ways, and verify each such file.

    Args:
        pictures: as the network takes them, (3, H, W); the first two are those that the export looks at.
        folder: an empty one.
    """
    with quiet():
        job = make_job(source, target, precision, "float")
        golden = Samples.of_images("pictures", np.stack(pictures[:2]))
        path = export(source, target=target, precision=precision, out=folder / "right", evaluation=golden).path
        floats = [as_list(job.model.module(torch.from_numpy(each[None]))) for each in pictures[2:]]
    columns = [np.concatenate([each.detach().numpy() for each in column]) for column in zip(*floats, strict=True)]
    assert parity.verify_here(path).passed
    right, found = outputs_of(path, pictures[2:]), Tally()
    for which, mutant in mutants(path, target, job, folder / "mutants", most):
        found.made += 1
        found.unsealed += parity.check_content(mutant).passed is False
        reseal(mutant)
        if moved(precision, right, outputs_of(mutant, pictures[2:]), columns):
            found.moved += 1
            verified = parity.verify_here(mutant)
            found.missed += [f"{which} ({verified.checks[-1].detail})"] if verified.passed else []
        (shutil.rmtree if mutant.is_dir() else Path.unlink)(mutant)
    return found


def mutants(path: Path, target: str, job: Job, folder: Path, most: int) -> Iterator[tuple[str, Path]]:
    """Copies of a file, each with the weights of one convolution changed; of at most so many, evenly spaced."""
    with quiet():
        module = named_module(job.program)
    layers = [place for place in places_of(module, job).values() if place.operators[0].startswith("conv2d")]
    places = np.unique(np.linspace(0, len(layers) - 1, most).round().astype(int))
    for layer in [layers[place] for place in places]:
        for name, edit in MUTATIONS.items():
            which = f"{layer.operators[0]} {name}"
            copy = folder / which / path.name
            copy.parent.mkdir(parents=True)
            (shutil.copytree if path.is_dir() else shutil.copy)(path, copy)
            file = FORMATS[target](copy)
            file.edit_weight(layer.names, edit)
            file.save()
            yield which, copy


def outputs_of(path: Path, pictures: Sequence[Array]) -> list[Array]:
    """Every output of a file on pictures."""
    with quiet():
        artifact = open_exactly(path)
        results = [artifact.run({artifact.inputs[0].name: each[None]}) for each in pictures]
    return [np.concatenate([each[spec.name] for each in results]) for spec in artifact.outputs]


def open_exactly(path: Path) -> Artifact:
    """As a CPU runs it that does not saturate."""
    artifact = open_artifact(path)
    return open_artifact(path, exact_int8=True) if artifact.session.may_saturate else artifact


def moved(precision: str, right: list[Array], mutant: list[Array], floats: list[Array]) -> bool:
    """Whether any output moved by more than the precision itself may cost."""
    return any(
        power(as_numbers(changed) - own) > margin(precision, as_numbers(own), as_numbers(truth))
        for own, changed, truth in zip(right, mutant, floats, strict=True)
    )


def margin(precision: str, right: Array, floats: Array) -> float:
    """Mean square of the difference that is no fault: int8's own error; in float what its tolerance allows."""
    asked = TOLERANCES[precision]
    if asked.relative is not None:
        return (asked.relative * float(np.abs(floats).max())) ** 2
    return power(right - floats) if asked.sqnr_db is None else power(floats) * 10 ** (-asked.sqnr_db / 10)
