"""Texts on their way: named at the export, embedded into the file, and asked for by ``onenet run``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from onenet.cli.app import app
from onenet.runtimes.artifact import manifest_of
from tests.clip import SIZE, text_encoder

RUNNER = CliRunner()
NETWORK = ["--model", "segone", "--width", "2", "--random-weights", "--input-size", "16", "16", "--target", "onnx"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(text_encoder(tmp_path_factory.mktemp("clip")))


def test_a_text_of_the_export_is_known_to_run(encoder: str, tmp_path: Path) -> None:
    texts = ["--text-encoder", encoder, "--prompt", "nuclei", "--prompt", "background"]
    done = RUNNER.invoke(app, ["export", *NETWORK, *texts, "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    (path,) = tmp_path.glob("*.onnx")
    prompts = manifest_of(path).source["prompts"]
    assert set(prompts) == {"nuclei", "background"}
    assert all(np.linalg.norm(each) == pytest.approx(1, abs=1e-4) and len(each) == SIZE for each in prompts.values())
    picture = tmp_path / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)).save(picture)
    run = ["run", str(path), str(picture), "--steps", "2", "--out", str(tmp_path / "masks")]
    assert RUNNER.invoke(app, [*run, "--prompt", "nuclei"]).exit_code == 0
    (mask,) = (tmp_path / "masks").glob("*.png")
    with Image.open(mask) as picture_of_mask:
        assert picture_of_mask.size == (16, 16)
    refused = RUNNER.invoke(app, [*run, "--prompt", "cells"])
    assert refused.exit_code == 2
    assert "nuclei" in refused.output, "it says which texts are known"


@pytest.mark.parametrize("given", [["--prompt", "nuclei"], ["--text-encoder", "."]])
def test_texts_and_their_encoder_belong_together(given: list[str]) -> None:
    done = RUNNER.invoke(app, ["export", *NETWORK, *given])
    assert done.exit_code == 2
    assert "belong together" in done.output


def test_a_network_without_a_text_has_none(encoder: str, tmp_path: Path) -> None:
    done = RUNNER.invoke(app, ["export", "--text-encoder", encoder, "--prompt", "nuclei", "--out", str(tmp_path)])
    assert done.exit_code == 2
    assert "onenet-ed4 takes image, and no text" in done.output
    assert not list(tmp_path.iterdir())
