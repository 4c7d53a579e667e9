"""One image of any size through a model of a fixed size: whole, in exact tiles, or resized."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from onenet.base.arrays import Array
from onenet.base.text import shape_text
from onenet.base.tiles import Grid, Tiling, make_grid
from onenet.errors import RequestError
from onenet.spec import ClassSpec, TensorSpec

Fit = Literal["auto", "tile", "resize"]
FITS: tuple[Fit, ...] = ("auto", "tile", "resize")


@dataclass(frozen=True)
class ImageModel:
    """A model of one image, as a task runs it: whoever opens an artifact makes one of it."""

    name: str
    """For messages: the file's name."""
    inputs: tuple[TensorSpec, ...]
    """As everything but the artifact handles them: NCHW, float32."""
    output: TensorSpec
    classes: tuple[ClassSpec, ...]
    tiling: Tiling | None
    run: Callable[[Array], Array]
    """A batch of the first input (N, C, H, W), of exactly its shape, to the output."""
    threshold: float | None = None
    """Of an output with one channel: the probability above which a pixel is class 1; None: 0.5."""

    @property
    def feed(self) -> TensorSpec:
        """The image that it takes."""
        return self.inputs[0]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of its input."""
        return self.feed.shape[2], self.feed.shape[3]

    @property
    def made_for(self) -> tuple[int, int]:
        """Height and width of the images that it was made for, of which its input may be a tile."""
        return (self.tiling and self.tiling.image_size) or self.size

    def check_one_image(self) -> None:
        """
        Raises:
            RequestError: it takes anything but one RGB or grey image.
        """
        feed = self.feed
        if len(self.inputs) != 1 or len(feed.shape) != 4 or feed.shape[1] not in (1, 3):
            shapes = " and ".join(shape_text(each.shape) for each in self.inputs)
            raise RequestError(f"{self.name} takes {shapes}; one image is needed")


@dataclass(frozen=True)
class Plan:
    """How one image goes through a model."""

    grid: Grid
    """Its tiles, or those of the image that it is resized to."""
    resized: bool = False
    reason: str | None = None
    """Why it is not cut into tiles, where ``auto`` resizes it."""

    @property
    def text(self) -> str:
        """``whole``, ``12 tiles of 64x64`` or ``resized to 256x256``."""
        tiles = f"{len(self.grid)} tiles of {shape_text(self.grid.tile)}" if len(self.grid) > 1 else "whole"
        return f"resized to {shape_text(self.grid.size)}" if self.resized else tiles


def check_fit(fit: str) -> None:
    """
    Raises:
        RequestError: an unknown ``fit``.
    """
    if fit not in FITS:
        raise RequestError(f"fit {fit!r} is not known; supported: {', '.join(FITS)}")


def make_plan(model: ImageModel, size: tuple[int, int], fit: Fit = "auto") -> Plan:
    """How an image of ``size`` (height, width) goes through a model.

    ``tile`` keeps the image's scale: cut into tiles whose result is the whole image's. ``resize`` stretches it to the size
    that the model was made for, and the result back. ``auto`` tiles where that is exact for this image, and else resizes.

    Raises:
        RequestError: ``tile``, and there are no exact tiles for this image; says why and what to do. An unknown ``fit``.
    """
    check_fit(fit)
    reason = None
    if fit != "resize":
        try:
            return Plan(make_grid(size, model.size, model.tiling))
        except RequestError as error:
            if fit == "tile":
                raise RequestError(f"{model.name}: {error}. --fit resize stretches the image instead") from error
            reason = str(error)
    return Plan(make_grid(model.made_for, model.size, model.tiling), model.made_for != size, reason)


class Prediction:
    """What a model says of one image."""

    def write(self, path: Path | str) -> None:
        """Write it as the task's file; under its final name only when it is complete.

        Raises:
            RequestError: the folder cannot be written.
            ToolError: the disk is full.
        """
        raise NotImplementedError

    def as_dict(self) -> dict[str, object]:
        """What JSON says of it beside the file's name."""
        return {}

    def lines(self) -> tuple[str, ...]:
        """What it found, for people; none where only the file can say it."""
        return ()
