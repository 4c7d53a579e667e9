"""What a denoiser is fed while a sampler runs it: images become samples of all its inputs.

Calibrated on anything else, such as true masks with noise added, int8 would see masks that no sampler makes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from onenet.base.arrays import Array
from onenet.calibration.inputs import UNNAMED, digest
from onenet.calibration.samples import Sample, SampleStream, stream_samples
from onenet.model import Model
from onenet.runtimes.sampler import DENOISER, ESTIMATE, STEPS, Sampler, Step, prompts_in
from onenet.spec import ModelSpec


def is_sampled(spec: ModelSpec) -> bool:
    """Whether images say all that a model is fed: it is a denoiser of one image, and knows texts."""
    first = spec.inputs[0]
    return spec.task == DENOISER and bool(spec.source.get("prompts")) and first.role == "image" and first.shape[0] == 1


def stream_steps(model: Model, images: Path, limit: int | None = None) -> SampleStream:
    """Samples for a denoiser: each image is sampled once, and every step of that is a sample.

    Args:
        model: a denoiser in PyTorch, lowered or not, for which ``is_sampled`` holds.
        images: what ``stream_samples`` reads.
        limit: at most so many images, evenly spaced by name.

    Raises:
        RequestError: the source holds no images for it.
    """
    _, channels, height, width = model.spec.inputs[0].shape
    source = stream_samples(images, height, width, limit, channels)

    def read(skipped: list[str]) -> Iterator[Sample]:
        for sample in source.read(skipped):
            for k, feeds in enumerate(steps_of(model, sample.inputs[UNNAMED], sample.place)):
                yield Sample(feeds, digest(feeds), f"{sample.file}, step {k + 1}", sample.place * STEPS + k)

    return SampleStream(source.name, source.count * STEPS, read)


def steps_of(model: Model, image: Array, place: int) -> list[dict[str, Array]]:
    """What a sampler feeds for one image, step by step, without the batch.

    Args:
        image: (C, H, W) in [0, 1].
        place: the image's number. It chooses the text, which images take in turn, and the noise.
    """
    names, kept = [each.name for each in model.spec.inputs], list[dict[str, Array]]()
    texts, step = list(prompts_in(model.spec.source, model.spec.name).values()), step_of(model)

    def seen(feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        kept.append({name: feeds[name][0] for name in names})
        return step(feeds)

    sampler = Sampler(seen, model.spec.inputs, seed=place)
    sampler.masks(image[None], texts[place % len(texts)])
    low, high = sampler.spec("noisy").value_range or (-np.inf, np.inf)
    return [{**feeds, "noisy": feeds["noisy"].clip(low, high)} for feeds in kept]


def step_of(model: Model) -> Step:
    """A network in PyTorch as a sampler runs it."""
    import torch

    def step(feeds: Mapping[str, Array]) -> dict[str, Array]:
        with torch.no_grad():
            found = model.module(*(torch.from_numpy(np.ascontiguousarray(feeds[each.name])) for each in model.spec.inputs))
        return {ESTIMATE: (found[0] if isinstance(found, tuple | list) else found).numpy()}

    return step
