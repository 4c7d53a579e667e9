"""From noise to a mask: a denoiser's artifact, run step by step. numpy only, so that it runs wherever the artifact does.

The steps are DDIM's (Song et al., arXiv 2010.02502, with no noise added), for a network that estimates the clean mask x0: at a
level with signal share a, the noisy mask is ``sqrt(a) x0 + sqrt(1 - a) e``, so the noise e follows from the estimate, and the
next mask has the same noise at the next level. A text is the network's own input: no text encoder runs here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from onenet.base.arrays import Array
from onenet.base.diffusion import level_embedding, levels_of, signal_of
from onenet.base.text import shape_text
from onenet.errors import CheckError, RequestError
from onenet.runtimes.artifact import Artifact
from onenet.spec import PALETTE, ClassSpec, TensorSpec
from onenet.tasks.image import ImageModel

Step = Callable[[Mapping[str, Array]], Mapping[str, Array]]
"""Canonical inputs by name -> outputs by name: ``Artifact.run``, or a network's own."""
NAMES = ("image", "noisy", "time", "text")
ESTIMATE = "estimate"
DENOISER = "denoiser"
"""The task of artifacts that a sampler runs."""
STEPS = 4
"""Unless others are asked for."""


@dataclass(frozen=True)
class Sampler:
    """Makes masks with one denoiser."""

    step: Step
    inputs: tuple[TensorSpec, ...]
    """As the step takes them, NCHW."""
    steps: int = STEPS
    seed: int = 0

    def __post_init__(self) -> None:
        """
        Raises:
            RequestError: the step takes other inputs than a denoiser's, or there is no step to do.
        """
        found = tuple(each.name for each in self.inputs)
        if sorted(found) != sorted(NAMES):
            raise RequestError(f"the model takes {', '.join(found)}; a denoiser takes {', '.join(NAMES)}")
        if self.steps < 1:
            raise RequestError(f"a sampler needs at least 1 step, found {self.steps}")

    def spec(self, name: str) -> TensorSpec:
        """One of the inputs."""
        return next(each for each in self.inputs if each.name == name)

    def noise(self) -> Array:
        """The seed's noise (N, K, H, W): the same on every machine."""
        shape = self.spec("noisy").shape
        return np.random.default_rng(self.seed).standard_normal(shape).astype(np.float32)

    def masks(self, image: Array, text: Array) -> list[Array]:
        """The estimate of the clean mask after each step, the last one is the result; (N, K, H, W) in [-1, 1].

        Args:
            image: (N, C, H, W) in [0, 1].
            text: the embedding of what is looked for, (N, text).

        Raises:
            RequestError: an array of another shape.
        """
        for name, array in (("image", image), ("text", text)):
            wanted = self.spec(name).shape
            if array.shape != wanted:
                raise RequestError(f"{name} is {shape_text(array.shape)}, the model takes {shape_text(wanted)}")
        noisy, estimates = self.noise(), []
        levels = levels_of(self.steps)
        for level, following in zip(levels[:-1], levels[1:]):
            time = np.tile(level_embedding(level, self.spec("time").shape[1]), (self.spec("time").shape[0], 1))
            feeds = {"image": image, "noisy": noisy, "time": time, "text": text}
            estimate = np.clip(self.step(feeds)[ESTIMATE], -1.0, 1.0)
            estimates.append(estimate)
            noisy = moved(noisy, estimate, signal_of(level), signal_of(following))
        return estimates


def moved(noisy: Array, estimate: Array, now: float, following: float) -> Array:
    """A noisy mask at the next level, given the estimate of the clean one; both levels as their signal's share."""
    noise = (noisy - math.sqrt(now) * estimate) / math.sqrt(max(1 - now, 1e-8))
    result: Array = (math.sqrt(following) * estimate + math.sqrt(1 - following) * noise).astype(np.float32)
    return result


def prompts_in(source: Mapping[str, object], name: str) -> dict[str, Array]:
    """The texts that a model or an artifact knows, with their embeddings (1, text): what it was given before its export.

    Args:
        source: of a ``ModelSpec`` or a manifest.
        name: of the model or file, for errors.

    Raises:
        CheckError: the table is damaged.
    """
    table = source.get("prompts") or {}
    try:
        if not isinstance(table, Mapping):
            raise TypeError
        return {str(text): np.asarray(values, np.float32).reshape(1, -1) for text, values in table.items()}
    except (TypeError, ValueError) as error:
        raise CheckError(f"the prompts of {name} are damaged; export the artifact again") from error


def as_segmentation(artifact: Artifact, prompt: str | None, steps: int = STEPS, seed: int = 0) -> ImageModel:
    """A denoiser with its sampler, for one text: a segmentation of two classes, the text's and the background.

    Args:
        artifact: of a denoiser.
        prompt: one of its texts.
        steps: of the sampler, for each image.
        seed: of the noise that each image begins with.

    Raises:
        RequestError: it is no denoiser, has no such text, or there is no step to do.
        CheckError: its texts are damaged.
    """
    texts = prompts_in(artifact.manifest.source, artifact.path.name)
    inputs = tuple(each.canonical() for each in artifact.inputs)
    if prompt not in texts:
        known = ", ".join(texts) or "none: onenet.models.prompts gives a model its texts before the export"
        asked = "no prompt was given" if prompt is None else f"the prompt {prompt!r} is not in {artifact.path.name}"
        raise RequestError(f"{asked}; its prompts: {known}")
    sampler = Sampler(artifact.run, inputs, steps, seed)
    text, image = texts[prompt], sampler.spec("image")

    def compute(batch: Array) -> Array:
        inside = (sampler.masks(batch, text)[-1][:, :1] + 1) / 2
        return np.concatenate([1 - inside, inside], 1)

    output = TensorSpec("probabilities", "probabilities", (image.shape[0], 2, *image.shape[2:]), "NCHW", value_range=(0.0, 1.0))
    classes = (ClassSpec("background", PALETTE[0]), ClassSpec(prompt, PALETTE[1]))
    return ImageModel(artifact.path.name, (image,), output, classes, None, compute)
