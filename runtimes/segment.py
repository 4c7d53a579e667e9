"""One image of any size to one mask, by an artifact: whole, in exact tiles, or resized. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onenet.base.arrays import run_all
from onenet.base.drawing import rgb
from onenet.base.files import publish, temporary_folder
from onenet.base.images import to_input
from onenet.base.text import shape_text
from onenet.base.tiles import Grid, make_grid
from onenet.errors import RequestError
from onenet.runtimes.artifact import Artifact
from onenet.runtimes.parity import labels_of

Pixels = NDArray[np.uint8]
Fit = Literal["auto", "tile", "resize"]
FITS: tuple[Fit, ...] = ("auto", "tile", "resize")
CLASSES = 256
"""Labels are kept as uint8, which is what a PNG with a palette holds."""


@dataclass(frozen=True)
class Plan:
    """How one image goes through an artifact."""

    grid: Grid
    """Its tiles, or those of the image that it is resized to."""
    resized: bool = False
    reason: str | None = None
    """Why it is not cut into tiles, where ``auto`` resizes it."""

    @property
    def text(self) -> str:
        tiles = f"{len(self.grid)} tiles of {shape_text(self.grid.tile)}" if len(self.grid) > 1 else "whole"
        return f"resized to {shape_text(self.grid.size)}" if self.resized else tiles


def make_plan(artifact: Artifact, size: tuple[int, int], fit: Fit = "auto") -> Plan:
    """How an image of ``size`` (height, width) goes through an artifact.

    ``tile`` keeps the image's scale: cut into tiles whose result is the whole image's. ``resize`` stretches it to the size
    that the model was made for, and the mask back. ``auto`` tiles where that is exact for this image, and else resizes.

    Raises:
        RequestError: ``tile``, and there are no exact tiles for this image; says why and what to do. An unknown ``fit``.
    """
    if fit not in FITS:
        raise RequestError(f"fit {fit!r} is not known; supported: {', '.join(FITS)}")
    _, _, height, width = artifact.inputs[0].canonical().shape
    tiling, reason = artifact.tiling, None
    if fit != "resize":
        try:
            return Plan(make_grid(size, (height, width), tiling))
        except RequestError as error:
            if fit == "tile":
                raise RequestError(f"{artifact.path.name}: {error}. --fit resize stretches the image instead") from error
            reason = str(error)
    made_for = (tiling and tiling.image_size) or (height, width)
    return Plan(make_grid(made_for, (height, width), tiling), made_for != size, reason)


def segment(artifact: Artifact, pixels: Pixels, plan: Plan, progress: Callable[[int], None] | None = None) -> Pixels:
    """Labels (H, W) uint8 of an image (H, W, 3) uint8, one batch of tiles in floating point at a time.

    Args:
        artifact: one that ``check_segments`` accepts.
        plan: from ``make_plan``, for this artifact and this image's size.
        progress: called with the number of tiles done, after each batch of them.

    Raises:
        ToolError: the runtime failed.
    """
    height, width = plan.grid.size
    size = pixels.shape[:2]
    if plan.resized:
        pixels = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))
    labels = run_grid(artifact, pixels, plan.grid, progress)
    if plan.resized:
        labels = np.asarray(Image.fromarray(labels).resize((size[1], size[0]), Image.Resampling.NEAREST))
    return labels


def run_grid(artifact: Artifact, pixels: Pixels, grid: Grid, progress: Callable[[int], None] | None) -> Pixels:
    feed, output = artifact.inputs[0], artifact.outputs[0]
    batch, channels, height, width = feed.canonical().shape
    labels: Pixels = np.zeros(grid.size, np.uint8)
    places = list(grid)
    for at in range(0, len(places), batch):
        part = places[at : at + batch]
        tiles = np.stack([to_input(grid.cut(pixels, *place), height, width, channels) for place in part])
        results = run_all(lambda tile: artifact.run({feed.name: tile})[output.name], tiles, batch)
        for place, found in zip(part, labels_of(results, output.role), strict=True):
            grid.paste(labels, *place, found)
        if progress:
            progress(len(part))
    return labels


def check_segments(artifact: Artifact) -> None:
    """Refuse an artifact that does not turn one image into a mask, or that this machine cannot run.

    Raises:
        RequestError: it takes or gives something else.
    """
    name, session = artifact.path.name, artifact.session
    if not session.runs_here:
        raise RequestError(f"{name} cannot be run here: {session.runtime.kernels}")
    feed, output = artifact.inputs[0].canonical(), artifact.outputs[0].canonical()
    if len(artifact.inputs) != 1 or len(feed.shape) != 4 or feed.shape[1] not in (1, 3):
        raise RequestError(f"{name} takes {' and '.join(shape_text(t.shape) for t in artifact.inputs)}; one image is needed")
    classes = len(artifact.manifest.get("classes") or ())
    is_mask = output.role in ("logits", "probabilities", "labels") and output.shape[-2:] == feed.shape[-2:]
    if not is_mask or not 2 <= classes <= CLASSES or (output.role != "labels" and output.shape[1] != classes):
        raise RequestError(
            f"{name} gives {output.role} {shape_text(output.shape)} and names {classes} classes; a mask needs logits, "
            f"probabilities or labels of 2 to {CLASSES} classes at the size of the image"
        )


def write_mask(artifact: Artifact, labels: Pixels, path: Path) -> None:
    """A PNG of class indices with the classes' colours as its palette; under its final name only when it is complete.

    Raises:
        RequestError: the folder cannot be written.
        ToolError: the disk is full.
    """
    picture = Image.fromarray(labels)
    picture.putpalette([part for each in artifact.manifest["classes"] for part in rgb(each["colour"])])
    with temporary_folder(path.parent) as folder:
        picture.save(folder / path.name, "PNG")
        publish(folder / path.name, path)
