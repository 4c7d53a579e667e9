"""Images through an artifact: which images, what is written where, and what is told of it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import onenet
from onenet.base.progress import Progress
from onenet.errors import CheckError, RequestError
from onenet.runtimes.run import images_in, run
from onenet.spec import numbered_classes
from tests.null_artifact import write_null


class Told(Progress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, int | None]] = []
        self.warnings: list[str] = []

    def start(self, step: str, total: int | None = None) -> None:
        self.steps.append((step, total))

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """A segmentation of two classes that is class 0 everywhere."""
    return write_null(tmp_path / "net.null", task="segmentation", classes=[asdict(each) for each in numbered_classes(2)])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, size in (("a.png", (8, 8)), ("b.png", (20, 10)), ("old.mask.png", (8, 8)), ("x.classes.json.png", (8, 8))):
        Image.new("RGB", size).save(folder / name)
    return folder


def test_one_mask_for_each_image(artifact: Path, photos: Path, tmp_path: Path) -> None:
    told = Told()
    results = run(artifact, photos, out=tmp_path / "out", progress=told)
    assert [each.file.name for each in results] == ["a.mask.png", "b.mask.png", "x.classes.json.mask.png"]
    assert results.runtime.name == "null"
    assert [(each.size, each.run_as, each.resized) for each in results][:2] == [
        ((8, 8), "whole", False),
        ((10, 20), "resized to 8x8", True),
    ]
    assert ("a.png: 8x8, whole", 1) in told.steps
    assert told.warnings == ["b.png is stretched to 8x8 and its mask back: no exact tiles: the artifact says nothing of tiles"]
    with Image.open(results[1].file) as mask:
        assert (mask.size, mask.mode) == ((20, 10), "P")
        assert not np.asarray(mask).any()
    document = results[1].as_dict()
    assert (document["mask"], document["tiles"], document["halo"]) == (str(results[1].file), 1, None)


def test_a_result_shows_itself(artifact: Path, photos: Path) -> None:
    results = onenet.run(artifact, [photos / "a.png"])
    assert repr(results) == f"[<{photos}/a.png (8x8, whole) -> {photos}/a.mask.png>]"
    html = results._repr_html_()
    assert html.startswith('<figure><img src="data:image/png;base64,') and "a.mask.png" in html
    results[0].file.unlink()
    assert results._repr_html_() == f"<p>{photos}/a.mask.png</p>"


def test_images_are_given_once(photos: Path) -> None:
    assert images_in([photos, photos / "a.png"]) == [photos / "a.png", photos / "b.png", photos / "x.classes.json.png"]


def test_a_prompt_is_for_denoisers_and_one_of_their_own(artifact: Path, tmp_path: Path, photos: Path) -> None:
    with pytest.raises(RequestError, match=r"net.null takes no prompt: it is no denoiser"):
        run(artifact, photos, prompt="nuclei")
    path = write_null(tmp_path / "step.null", task="denoiser", source={"prompts": {"nuclei": [0.5], "cells": [0.1]}})
    with pytest.raises(RequestError, match=r"no prompt was given; its prompts: nuclei, cells"):
        run(path, photos)
    with pytest.raises(RequestError, match=r"the prompt 'sky' is not in step.null; its prompts: nuclei, cells"):
        run(path, photos, prompt="sky")
    damaged = write_null(tmp_path / "bad.null", task="denoiser", source={"prompts": {"nuclei": "many"}})
    with pytest.raises(CheckError, match=r"the prompts of bad.null are damaged"):
        run(damaged, photos, prompt="nuclei")


@pytest.mark.parametrize("task", ["other", "poetry", None])
def test_a_task_that_writes_nothing_is_refused(task: str | None, tmp_path: Path, photos: Path) -> None:
    path = write_null(tmp_path / "net.null", **({} if task is None else {"task": task}))
    with pytest.raises(RequestError, match=r"net.null is for other, which `onenet run` does not do; supported: segmentation"):
        run(path, photos)
    assert not list(photos.glob("a.mask.png"))


def test_what_is_refused_before_the_artifact_is_opened(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="fit 'crop' is not known"):
        run("nothing.null", tmp_path, fit="crop")  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(RequestError, match="holds no image"):
        run("nothing.null", tmp_path)
