"""Small networks of several inputs, and samples for them."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

import onenet
from onenet.base.arrays import Array
from onenet.calibration.samples import Samples
from onenet.model import Model
from onenet.models.build import build
from onenet.spec import ModelSpec, TensorSpec, numbered_classes

HEIGHT, WIDTH = 16, 24


def image(name: str, batch: int = 1) -> TensorSpec:
    return TensorSpec(name, "image", (batch, 3, HEIGHT, WIDTH), "NCHW", value_range=(0.0, 1.0))


def logits(batch: int = 1, height: int = HEIGHT, width: int = WIDTH) -> TensorSpec:
    return TensorSpec("logits", "logits", (batch, 3, height, width), "NCHW")


class PictureAndMask(nn.Module):
    """An image and a mask of half its size, whose names sort the other way round."""

    inputs = (image("picture"), TensorSpec("mask", "mask", (1, 1, HEIGHT // 2, WIDTH // 2), "NCHW"))
    outputs = (logits(1, HEIGHT // 2, WIDTH // 2),)

    def __init__(self) -> None:
        super().__init__()
        self.picture, self.mask = nn.Conv2d(3, 8, 3, padding=1, stride=2), nn.Conv2d(1, 8, 1)
        self.both, self.head = nn.Conv2d(16, 8, 3, padding=1), nn.Conv2d(8, 3, 1)

    def forward(self, picture: Tensor, mask: Tensor) -> Tensor:
        joined = torch.cat([self.picture(picture).relu(), self.mask(mask).relu()], 1)
        result: Tensor = self.head(self.both(joined).relu())
        return result


class Conditioned(nn.Module):
    """An image, an embedding that feeds two places, a mask that is only added, and a scalar."""

    inputs = (
        image("picture"),
        TensorSpec("text", "embedding", (1, 6)),
        TensorSpec("mask", "mask", (1, 1, HEIGHT, WIDTH), "NCHW"),
        TensorSpec("level", "scalar", (1, 1)),
    )
    outputs = (logits(),)

    def __init__(self) -> None:
        super().__init__()
        self.picture, self.middle, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 3, 1)
        self.picture.weight.data *= 4  # so that it weighs as much as the others: what is below a step, no output shows
        self.text, self.text_late, self.level = nn.Linear(6, 8), nn.Linear(6, 3), nn.Linear(1, 8)

    def forward(self, picture: Tensor, text: Tensor, mask: Tensor, level: Tensor) -> Tensor:
        condition = self.text(text)[:, :, None, None]
        early = self.picture(picture).relu() + condition + self.level(level)[:, :, None, None]
        result: Tensor = self.head(self.middle(early).relu()) + mask + self.text_late(text)[:, :, None, None]
        return result


class Change(nn.Module):
    """Two images of one shape, in batches of two."""

    inputs = (image("before", 2), image("after", 2))
    outputs = (logits(2),)

    def __init__(self) -> None:
        super().__init__()
        self.before, self.after, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 1)

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        result: Tensor = self.head(self.before(before).relu() - self.after(after).relu())
        return result


class Token(nn.Module):
    """An image, a whole number that picks a row of a table, and a number without any axis but the batch."""

    inputs = (
        image("picture"),
        TensorSpec("token", "scalar", (1,), dtype="int32", value_range=(0, 9)),
        TensorSpec("sigma", "scalar", (1,)),
    )
    outputs = (logits(),)

    def __init__(self) -> None:
        super().__init__()
        self.picture, self.table, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Embedding(10, 8), nn.Conv2d(8, 3, 1)

    def forward(self, picture: Tensor, token: Tensor, sigma: Tensor) -> Tensor:
        early = self.picture(picture).relu() + self.table(token).reshape(-1, 8, 1, 1)
        result: Tensor = self.head(early * sigma.reshape(-1, 1, 1, 1))
        return result


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "picture and mask": PictureAndMask,
    "conditioned": Conditioned,
    "change": Change,
    "token": Token,
}


def make(name: str) -> tuple[nn.Module, ModelSpec]:
    """A network as a factory returns it."""
    torch.manual_seed(1)
    module = NETWORKS[name]()
    spec = ModelSpec(name.replace(" ", "_"), "segmentation", module.inputs, module.outputs, numbered_classes(3))  # type: ignore[arg-type]
    return module, spec


@functools.cache
def lowered(name: str) -> Model:
    return onenet.lower(build(lambda: make(name)))


def value(tensor: TensorSpec, rng: np.random.Generator) -> Array:
    """What this input may be fed, without the batch: embeddings, masks and scalars are below zero too."""
    shape = tensor.shape[1:]
    if tensor.dtype.startswith("int"):
        return np.asarray(rng.integers(0, 10, shape), tensor.dtype)
    values = rng.random(shape) if tensor.role == "image" else rng.uniform(-3, 2, shape)
    return np.asarray(values, np.float32)


def dictionaries(model: Model, count: int, seed: int = 0) -> list[dict[str, Array]]:
    """Samples, each one array for each input."""
    rng = np.random.default_rng(seed)
    return [{tensor.name: value(tensor, rng) for tensor in model.spec.inputs} for _ in range(count)]


def stacked(model: Model, count: int, seed: int = 0) -> dict[str, Array]:
    """Samples along the first axis, as an .npz holds them."""
    samples = dictionaries(model, count, seed)
    return {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}


def evaluation(model: Model) -> Samples:
    return Samples("evaluation", stacked(model, 4, seed=9), tuple("abcd"), tuple("abcd"))
