"""A small denoiser on all targets, sampled: step by step as in PyTorch, in int8 as its simulation, and by ``onenet run``."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

import onenet
from onenet.base.arrays import Array
from onenet.base.diffusion import level_embedding, signal_of
from onenet.base.metrics import sqnr_db
from onenet.base.quiet import quiet
from onenet.calibration.quantized import QuantizedModel
from onenet.cli.app import app
from onenet.model import Model
from onenet.models.prompts import with_prompts
from onenet.models.segone import SYSTEM, Denoiser, SegOneConfig
from onenet.runtimes.artifact import open_artifact
from onenet.runtimes.sampler import Sampler, Step
from onenet.spec import ModelSpec
from onenet.targets import suffixes
from tests.conftest import enliven, smooth_images

CONFIG = SegOneConfig(layers=2, width=4, text=8, time=8)
SIZE, STEPS = (16, 32), 4
TEXTS = {"nuclei": np.linspace(-1, 1, 8, dtype=np.float32), "background": np.linspace(1, -1, 8, dtype=np.float32)}


def samples(count: int) -> list[dict[str, Array]]:
    """What a sampler feeds: pictures, masks with noise of every level, and a text."""
    rng = np.random.default_rng(0)
    given = []
    pictures = np.rint(smooth_images(count, 3, *SIZE) * 255).astype(np.float32) / np.float32(255)  # Core ML takes 8 bits
    for k, image in enumerate(pictures):
        level = (k + 1) / count
        mask = np.where(image[:1] > 0.5, 1.0, -1.0)
        noisy = signal_of(level) ** 0.5 * mask + (1 - signal_of(level)) ** 0.5 * rng.standard_normal(mask.shape)
        text = list(TEXTS.values())[k % 2]
        given.append({"image": image, "noisy": noisy.astype(np.float32), "time": level_embedding(level, 8), "text": text})
    return given


@functools.cache
def lowered() -> Model:
    torch.manual_seed(0)
    spec = ModelSpec("step", "denoiser", SYSTEM.inputs(CONFIG, SIZE), SYSTEM.outputs(CONFIG, SIZE)[1])
    module = Denoiser(CONFIG).eval()
    enliven(module, *(torch.from_numpy(np.stack([each[name.name] for each in samples(8)])) for name in spec.inputs))
    with quiet():
        return onenet.lower(with_prompts(onenet.build(lambda: (module, spec)), TEXTS))


@functools.cache
def quantized() -> QuantizedModel:
    with quiet():
        return onenet.calibrate(lowered(), samples(16))


def in_torch(module: nn.Module) -> Step:
    @torch.no_grad()
    def step(feeds: Mapping[str, Array]) -> dict[str, Array]:
        (result,) = outputs if isinstance(outputs := module(*map(torch.from_numpy, feeds.values())), tuple) else (outputs,)
        return {"estimate": result.numpy()}

    return step


def masks(step: Step) -> list[Array]:
    image = samples(3)[1]["image"][None]
    return Sampler(step, lowered().spec.inputs, STEPS, seed=5).masks(image, TEXTS["nuclei"][None])


@pytest.mark.parametrize("target", suffixes())
def test_every_step_is_pytorchs(target: str, tmp_path: Path) -> None:
    made = onenet.export(lowered(), target=target, precision="fp32", out=tmp_path)
    found, expected = masks(open_artifact(made.path).run), masks(in_torch(lowered().module))
    assert len(found) == STEPS and expected[0].std() > 0.1
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_int8_drifts_no_more_than_its_simulation_and_is_run_by_prompt(tmp_path: Path) -> None:
    made = onenet.export(quantized(), target="tflite", precision="int8", out=tmp_path)
    found, simulated = masks(open_artifact(made.path).run), masks(in_torch(quantized().reference))
    exact = masks(in_torch(lowered().module))
    for ours, theirs, truth in zip(found, simulated, exact, strict=True):
        assert (sqnr_db(truth, ours) or 99) > (sqnr_db(truth, theirs) or 99) - 3

    picture = tmp_path / "photo.png"
    Image.fromarray(np.rint(samples(3)[1]["image"].transpose(1, 2, 0) * 255).astype(np.uint8)).save(picture)
    command = ["run", str(made.path), str(picture), "--steps", str(STEPS), "--seed", "5"]
    labels = {}
    for text in TEXTS:
        result = CliRunner().invoke(app, [*command, "--prompt", text, "--out", str(tmp_path / text)])
        assert result.exit_code == 0, result.output
        with Image.open(tmp_path / text / "photo.mask.png") as mask:
            labels[text] = np.asarray(mask)
    assert np.array_equal(found[-1][0, 0] > 0, labels["nuclei"])
    assert 0 < labels["nuclei"].mean() < 1 and not np.array_equal(labels["nuclei"], labels["background"])
    asked = CliRunner().invoke(app, command)
    assert asked.exit_code == 2 and "its prompts: background, nuclei" in asked.stderr
