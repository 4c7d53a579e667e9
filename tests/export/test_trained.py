"""The trained models beside OneNet on the shipped images: int8 keeps what they learned, and SegOne samples as in PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import onenet
from onenet.base.images import read_image
from onenet.base.quiet import quiet
from onenet.calibration.samples import default_calibration, default_evaluation
from onenet.cli.app import app
from onenet.exporters.options import ExportOptions
from onenet.exporters.steps import step_of
from onenet.runtimes.sampler import Sampler, prompts_in
from onenet.targets import suffixes
from tests.shared import few

SIDES = (256, 256)
"""Of the shipped images, and of SegOne as it is shipped."""


@pytest.mark.parametrize(("name", "target"), few([(n, t) for n in ("unet4", "lsnet") for t in suffixes()], 5))
def test_a_trained_baseline_keeps_its_accuracy_in_int8(name: str, target: str, tmp_path: Path) -> None:
    with quiet():
        (made,) = onenet.export_all(
            ExportOptions(model=name, target=(target,), int8=True, out=tmp_path, evaluation=default_evaluation())
        )
    assert made.quality is not None and made.quality.images == 8
    assert made.quality.float_scores["miou"] >= 0.85
    assert made.quality.scores["miou"] >= made.quality.float_scores["miou"] - 0.01


@pytest.mark.parametrize("target", few(suffixes(), 3))
def test_segone_samples_the_shipped_images_as_in_pytorch(target: str, tmp_path: Path) -> None:
    with quiet():
        network = onenet.build("segone")
        made = onenet.export(network, target=target, precision="fp32", out=tmp_path)
    pictures = sorted(default_calibration().iterdir())[:2]
    command = ["run", str(made.path), *map(str, pictures), "--prompt", "nuclei", "--steps", "4", "--seed", "5"]
    done = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "masks")])
    assert done.exit_code == 0, done.output
    spec = network.spec
    sampler = Sampler(step_of(network), spec.inputs, 4, seed=5)
    for picture in pictures:
        pixels = read_image(picture)
        assert pixels.shape[:2] == SIDES, "resizing would be compared as well"
        image = pixels.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)
        expected = sampler.masks(image, prompts_in(spec.source, spec.name)["nuclei"])[-1][0, 0] > 0
        with Image.open(tmp_path / "masks" / f"{picture.stem}.mask.png") as mask:
            assert np.mean(np.asarray(mask) == expected) >= 0.999
        assert 0.01 < expected.mean() < 0.9
