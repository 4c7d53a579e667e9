"""Semantic segmentation: one image to one class per pixel."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from onenet.base import metrics
from onenet.base.arrays import Array, paired, run_all
from onenet.base.drawing import rgb
from onenet.base.files import publish, temporary_folder
from onenet.base.text import shape_text
from onenet.base.tiles import Grid
from onenet.errors import RequestError
from onenet.spec import ClassSpec, Role, TensorSpec
from onenet.tasks import Labels, Metric, PictureRows, Task
from onenet.tasks.image import ImageModel, Plan, Prediction

if TYPE_CHECKING:
    from onenet.base.images import Pixels

CLASSES = 256
"""Labels are kept as uint8, which is what a PNG with a palette holds."""


def labels_of(value: Array, role: Role) -> Array:
    """Class indices (N, H, W) of an output: as they are, or the largest channel."""
    return value.astype(np.int64) if role == "labels" else value.argmax(1)


def confidence_of(value: Array, role: Role) -> Array | None:
    """(N, H, W) probability of each label of ``labels_of``; None where the output holds labels only."""
    if role == "labels":
        return None
    return metrics.confidence_of(value) if role == "logits" else value.max(1)


@dataclass(frozen=True)
class Mask(Prediction):
    """Labels (H, W) uint8 of one image."""

    labels: Pixels
    classes: tuple[ClassSpec, ...]

    def write(self, path: Path) -> None:
        """A PNG of class indices with the classes' colours as its palette."""
        from PIL import Image

        picture = Image.fromarray(self.labels)
        picture.putpalette([part for each in self.classes for part in rgb(each.colour)])
        with temporary_folder(path.parent) as folder:
            picture.save(folder / path.name, "PNG")
            publish(folder / path.name, path)

    def overlay(self, pixels: Pixels, opacity: float = 0.5) -> Pixels:
        """The picture (H, W, 3) with each pixel's class colour over it; the first class, the background, stays clear.

        Args:
            pixels: of the picture that the mask is of.
            opacity: 0 shows the picture alone, 1 the colours alone.

        Raises:
            RequestError: a picture of another size.
        """
        if pixels.shape != (*self.labels.shape, 3):
            sizes = f"{shape_text(self.labels.shape)} does not belong to a picture of {shape_text(pixels.shape)}"
            raise RequestError(f"a mask of {sizes}")
        part = round(256 * min(max(opacity, 0), 1))  # of 256: no sum is larger than 16 bits hold
        palette = np.array([rgb(each.colour) for each in self.classes], np.uint16)
        mixed = (pixels * np.uint16(256 - part) + palette[self.labels] * np.uint16(part) + 128) >> 8
        result: Pixels = np.where(self.labels[..., None] > 0, mixed, pixels).astype(np.uint8)
        return result

    def shares(self) -> dict[str, float]:
        """Share of the pixels that each class has, by its name."""
        counts = np.bincount(self.labels.reshape(-1), minlength=len(self.classes))
        return {each.name: int(count) / self.labels.size for each, count in paired(self.classes, counts)}


class Segmentation(Task):
    """One 4-D output (N, classes, H, W)."""

    name = title = "segmentation"
    order = 10
    output_roles = ("logits", "probabilities", "labels")
    metrics = (Metric("miou", "mIoU", headline=True), Metric("dice", "Dice"), Metric("map50", "mAP@0.5"))
    agree_unit = "pixels"
    labelled_form = "images/ and labels/"
    suffix, file_key = ".mask.png", "mask"
    run_help = "Segmentation writes NAME.mask.png, a PNG of class indices in the classes' colours."

    def signature_of(self, outputs: Sequence[tuple[tuple[int, ...], str]]) -> tuple[TensorSpec, ...] | None:
        """One 4-D output holds class logits."""
        if len(outputs) != 1 or len(outputs[0][0]) != 4:
            return None
        return (TensorSpec("logits", "logits", outputs[0][0], "NCHW", outputs[0][1]),)

    def with_role(self, logits: TensorSpec, role: Role) -> TensorSpec:
        """Probabilities keep the shape; labels are int32 (N, H, W)."""
        if role == "probabilities":
            return dataclasses.replace(logits, name=role, role=role, value_range=(0.0, 1.0))
        n, _, height, width = logits.shape
        return dataclasses.replace(logits, name=role, role=role, shape=(n, height, width), layout="other", dtype="int32")

    def labels(self, output: Array, role: Role) -> Array:
        """(N, H, W) of (N, K, H, W)."""
        return labels_of(output, role)

    def agreement(self, reference: Array, artifact: Array, role: Role, margin: float = 0.0) -> float | None:
        """Share of pixels with equal labels; a tie in a few of them weighs little, so ``margin`` is not looked at."""
        del margin
        if role != "labels" and reference.shape[1] < 2:
            return None
        return metrics.label_agreement(labels_of(reference, role), labels_of(artifact, role))

    def score(self, output: Array, role: Role, truth: Array, classes: int) -> dict[str, float]:
        """``miou``, ``dice`` and ``map50`` against masks (N, H, W), means over the classes.

        IoU and Dice count all pixels of the set; ``map50`` is ``metrics.AveragePrecision``.
        """
        labels = labels_of(output, role)
        table, precision = metrics.confusion(truth, labels, classes), metrics.AveragePrecision(classes)
        precision.add(truth, labels, confidence_of(output, role))
        return {"miou": metrics.mean_iou(table), "dice": metrics.mean_dice(table), "map50": precision.mean()}

    def is_labelled(self, folder: Path) -> bool:
        """Masks lie in ``labels``."""
        return (folder / "labels").is_dir()

    def open_labels(self, folder: Path, classes: Sequence[ClassSpec] = ()) -> Labels:
        """Images of ``images/``, each with its mask ``labels/STEM.png``: one class index per pixel, resized by nearest
        neighbour."""
        from onenet.base.images import read_mask

        del classes  # a mask holds their numbers
        images = folder / "images"

        def read(image: Path, size: tuple[int, int], wanted: tuple[int, int]) -> Array:
            return read_mask(folder / "labels" / image.relative_to(images).with_suffix(".png"), size, *wanted)

        return Labels(images, read)

    def draw(self, path: Path, rows: PictureRows) -> None:
        """Image, truth, float labels, artifact labels and where the two differ."""
        from onenet.tasks.preview import draw_preview

        reference, artifact = (labels_of(each, rows.role) for each in (rows.reference, rows.artifact))
        draw_preview(path, rows.images, rows.truth, reference, artifact, rows.classes, rows.title, rows.subtitle)

    def check_runs(self, model: ImageModel) -> None:
        """One image in; classes at the size of the image out."""
        model.check_one_image()
        output, classes = model.output, len(model.classes)
        is_mask = output.role in self.output_roles and output.shape[-2:] == model.size
        if not is_mask or not 2 <= classes <= CLASSES or (output.role != "labels" and output.shape[1] != classes):
            raise RequestError(
                f"{model.name} gives {output.role} {shape_text(output.shape)} and names {classes} classes; a mask needs "
                f"logits, probabilities or labels of 2 to {CLASSES} classes at the size of the image"
            )

    def predict(self, model: ImageModel, pixels: Pixels, plan: Plan, progress: Callable[[int], None] | None = None) -> Mask:
        """The image's mask, one batch of tiles in floating point at a time."""
        return Mask(segment(model, pixels, plan, progress), model.classes)


def segment(model: ImageModel, pixels: Pixels, plan: Plan, progress: Callable[[int], None] | None = None) -> Pixels:
    """Labels (H, W) uint8 of an image (H, W, 3) uint8, one batch of tiles in floating point at a time.

    Args:
        model: one that ``Segmentation.check_runs`` accepts.
        plan: of ``Segmentation``, for this model and this image's size.
        progress: called with the number of tiles done, after each batch of them.

    Raises:
        ToolError: the runtime failed.
    """
    from PIL import Image

    height, width = plan.grid.size
    size = pixels.shape[:2]
    if plan.resized:
        pixels = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))
    labels = run_grid(model, pixels, plan.grid, progress)
    return stretched(labels, (size[0], size[1])) if plan.resized else labels


def stretched(labels: Pixels, size: tuple[int, int]) -> Pixels:
    """Labels (h, w) as (H, W): each pixel takes the one that its centre lies in.

    In whole numbers, as every language can repeat it: Pillow adds fractions up, and is one off where a centre lies on an edge.
    """
    rows, columns = ((2 * np.arange(n) + 1) * m // (2 * n) for n, m in zip(size, labels.shape))
    result: Pixels = labels[rows[:, None], columns]
    return result


def run_grid(model: ImageModel, pixels: Pixels, grid: Grid, progress: Callable[[int], None] | None) -> Pixels:
    """Labels (H, W) of an image of the grid's size."""
    from onenet.base.images import to_input

    batch, channels, height, width = model.feed.shape
    labels: Pixels = np.zeros(grid.size, np.uint8)
    places = list(grid)
    for at in range(0, len(places), batch):
        part = places[at : at + batch]
        tiles = np.stack([to_input(grid.cut(pixels, *place), height, width, channels) for place in part])
        results = run_all(model.run, tiles, batch)
        for (row, column), values in paired(part, labels_of(results, model.output.role)):
            grid.paste(labels, row, column, values)
        if progress:
            progress(len(part))
    return labels


TASK = Segmentation()
