"""The sampler against DDIM written out in PyTorch, and what it refuses."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch

import onenet
from onenet.base.arrays import Array
from onenet.base.diffusion import level_embedding, signal_of
from onenet.errors import RequestError
from onenet.model import Model
from onenet.runtimes.sampler import Sampler

STEPS = 5


@pytest.fixture(scope="module")
def model() -> Model:
    return onenet.build("segone", width=4, random_weights=True, input_size=(16, 32), seed=3)


def step_of(model: Model):
    @torch.no_grad()
    def step(feeds: Mapping[str, Array]) -> dict[str, Array]:
        return {"estimate": model.module(*(torch.from_numpy(feeds[each.name]) for each in model.spec.inputs)).numpy()}

    return step


def fed() -> tuple[Array, Array]:
    rng = np.random.default_rng(1)
    return rng.random((1, 3, 16, 32), dtype=np.float32), rng.standard_normal((1, 512)).astype(np.float32)


@torch.no_grad()
def ddim(model: Model, image: torch.Tensor, text: torch.Tensor, noise: torch.Tensor) -> list[torch.Tensor]:
    """Equation 12 of arXiv 2010.02502 with sigma 0, for a network that gives x0."""
    x, found = noise, []
    for k in range(STEPS):
        level, following = 1 - k / STEPS, 1 - (k + 1) / STEPS
        a, b = signal_of(level), signal_of(following)
        time = torch.from_numpy(level_embedding(level, 64))[None]
        clean = model.module(image, x, time, text).clamp(-1, 1)
        predicted_noise = (x - a**0.5 * clean) / (1 - a) ** 0.5
        x = b**0.5 * clean + (1 - b) ** 0.5 * predicted_noise
        found.append(clean)
    return found


def test_every_step_is_ddims(model: Model) -> None:
    image, text = fed()
    sampler = Sampler(step_of(model), model.spec.inputs, steps=STEPS, seed=7)
    found = sampler.masks(image, text)
    expected = ddim(model, torch.from_numpy(image), torch.from_numpy(text), torch.from_numpy(sampler.noise()))
    assert len(found) == STEPS
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-5)
    assert np.abs(found[0] - found[-1]).max() > 1e-3


def test_seed_and_text_change_the_mask(model: Model) -> None:
    image, text = fed()

    def last(seed: int, sign: int) -> Array:
        return Sampler(step_of(model), model.spec.inputs, steps=2, seed=seed).masks(image, sign * text)[-1]

    assert np.array_equal(last(0, 1), last(0, 1))
    assert not np.allclose(last(0, 1), last(1, 1)) and not np.allclose(last(0, 1), last(0, -1))


def test_an_estimate_is_kept_in_its_range(model: Model) -> None:
    image, text = fed()
    high = Sampler(lambda feeds: {"estimate": feeds["noisy"] * 0 + 9}, model.spec.inputs, steps=1)
    assert high.masks(image, text)[0].max() == 1.0


def test_what_does_not_fit_is_refused(model: Model) -> None:
    image, text = fed()
    with pytest.raises(RequestError, match="takes image; a denoiser takes image, noisy, time, text"):
        Sampler(step_of(model), model.spec.inputs[:1])
    with pytest.raises(RequestError, match="at least 1 step, found 0"):
        Sampler(step_of(model), model.spec.inputs, steps=0)
    with pytest.raises(RequestError, match="text is 1x7, the model takes 1x512"):
        Sampler(step_of(model), model.spec.inputs).masks(image, text[:, :7])
