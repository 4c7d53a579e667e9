"""What Python makes of the evaluation images: test cases in the form of ``onenet export --tests``, and more of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from onenet.base.images import Pixels, find_images, read_image
from onenet.calibration.samples import default_evaluation
from onenet.exporters.cases import open_here, table, write_case, write_values
from onenet.runtimes.run import image_model
from onenet.tasks import task_of
from onenet.tasks.segmentation import segment


def evaluation_images(folder: Path | None) -> dict[str, Pixels]:
    """A folder's images by their names; the shipped evaluation images where none is named."""
    return {path.stem: read_image(path) for path in find_images(folder or default_evaluation() / "images")}


def others(images: dict[str, Pixels]) -> tuple[dict[str, Pixels], dict[str, Pixels]]:
    """Pictures of other sizes made of these: some to be stretched, some to be run in tiles."""
    first, second, third, fourth, *_ = [each for each in images.values() if each.shape == next(iter(images.values())).shape]
    together = np.concatenate([np.concatenate([first, second], 1), np.concatenate([third, fourth], 1)], 0)
    height, width = first.shape[:2]
    stretched = {"enlarged": first[:61, :97], "reduced": together[: height + 31]}
    tiled = {"tiles": together, "tiles-cut": together[3 : height + 180, 7 : width + 77], "small": first[:100, :37]}
    return stretched, tiled


def write_cases(path: Path, out: Path, pictures: Path | None = None) -> None:
    """``out/FILE`` with cases.txt and raw files. Pictures that are run in tiles stand there as ``tiled NAME WIDTH HEIGHT``."""
    artifact = open_here(path)
    model, task = image_model(artifact), task_of(artifact.manifest.task)
    folder = out / path.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    images = evaluation_images(pictures)
    stretched, tiled = others(images)
    for name, pixels in {**images, **stretched}.items():
        write_case(folder, name, np.ascontiguousarray(pixels), artifact, model)
    for name, pixels in tiled.items():
        write_values(folder / f"{name}.rgb.bin", pixels)
        write_values(folder / f"{name}.labels.bin", segment(model, pixels, task.plan(model, pixels.shape[:2])))
    lines = "".join(f"tiled {name} {pixels.shape[1]} {pixels.shape[0]}\n" for name, pixels in tiled.items())
    (folder / "cases.txt").write_text(table(artifact, {**images, **stretched}, True) + lines, encoding="utf-8")
