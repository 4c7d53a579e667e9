"""Images as samples of a denoiser: each step is what a sampler fed, and the texts take turns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import onenet
from onenet.base.diffusion import level_embedding, levels_of, signal_of
from onenet.base.progress import Progress
from onenet.errors import RequestError
from onenet.exporters.options import ExportOptions
from onenet.exporters.quantization import Quantization
from onenet.exporters.steps import is_sampled, step_of, steps_of, stream_steps
from onenet.model import Model
from onenet.models.prompts import with_prompts
from onenet.runtimes.sampler import STEPS, Sampler, moved
from tests.conftest import smooth_images

SIZE = (16, 32)
TEXTS = {name: np.eye(512, dtype=np.float32)[k] for k, name in enumerate(("nuclei", "background"))}


@pytest.fixture(scope="module")
def plain() -> Model:
    return onenet.build("segone", width=4, random_weights=True, input_size=SIZE, seed=3)


@pytest.fixture(scope="module")
def model(plain: Model) -> Model:
    return with_prompts(plain, TEXTS)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for k, image in enumerate(smooth_images(3, 3, *SIZE)):
        Image.fromarray(np.rint(image.transpose(1, 2, 0) * 255).astype(np.uint8)).save(tmp_path / f"{k}.png")
    return tmp_path


def test_only_a_denoiser_that_knows_texts_is_sampled(plain: Model, model: Model) -> None:
    assert is_sampled(model.spec)
    assert not is_sampled(plain.spec)
    assert not is_sampled(onenet.build("onenet-ed4").spec)


def test_every_step_is_what_the_sampler_fed(model: Model) -> None:
    image = smooth_images(1, 3, *SIZE)[0]
    fed = steps_of(model, image, place=1)
    sampler = Sampler(step_of(model), model.spec.inputs, seed=1)
    masks, levels, noisy = sampler.masks(image[None], TEXTS["background"][None]), levels_of(STEPS), sampler.noise()
    assert len(fed) == STEPS
    for feeds, mask, now, following in zip(fed, masks, levels[:-1], levels[1:], strict=True):
        assert list(feeds) == ["image", "noisy", "time", "text"]
        np.testing.assert_array_equal(feeds["image"], image)
        np.testing.assert_array_equal(feeds["text"], TEXTS["background"])
        np.testing.assert_array_equal(feeds["time"], level_embedding(now, 64))
        np.testing.assert_array_equal(feeds["noisy"], noisy[0].clip(-4, 4))
        noisy = moved(noisy, mask, signal_of(now), signal_of(following))


def test_images_take_the_texts_in_turn(model: Model, pictures: Path) -> None:
    stream = stream_steps(model, pictures)
    samples = list(stream)
    assert len(stream) == len(samples) == 3 * STEPS
    assert len({sample.id for sample in samples}) == len(samples)
    texts = [list(TEXTS)[int(sample.inputs["text"].argmax())] for sample in samples[::STEPS]]
    assert texts == ["nuclei", "background", "nuclei"]
    assert [sample.place for sample in samples] == list(range(3 * STEPS))
    assert [sample.id for sample in stream] == [sample.id for sample in samples]


def test_an_export_takes_a_folder_of_images_for_such_a_model(plain: Model, model: Model, pictures: Path) -> None:
    options = ExportOptions(model="segone", int8=True, calibration=pictures)
    stream = Quantization.of(options).open_source(model, Progress())
    assert len(stream) == 3 * STEPS
    with pytest.raises(RequestError, match=r"segone: give an .npz file with the arrays image, noisy, time, text"):
        Quantization.of(options).open_source(plain, Progress())
