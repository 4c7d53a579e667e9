"""Semantic segmentation: one image to one class per pixel."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from onenet.base import metrics
from onenet.base.arrays import Array, paired, run_all
from onenet.base.drawing import rgb
from onenet.base.enlarge import enlarge, nearest
from onenet.base.files import publish, temporary_folder
from onenet.base.text import shape_text
from onenet.base.tiles import Grid
from onenet.errors import RequestError
from onenet.spec import ClassSpec, Role, TensorSpec, numbered_classes
from onenet.tasks import Labels, Metric, PictureRows, Task
from onenet.tasks.image import ImageModel, Plan, Prediction

if TYPE_CHECKING:
    from onenet.base.images import Pixels

CLASSES = 256
"""Labels are kept as uint8, which is what a PNG with a palette holds."""


NOT_SCORED = ClassSpec("not scored", "#808080")
"""In pictures, of pixels whose label is -1."""


def edge_of(role: Role, threshold: float | None) -> float:
    """The value of an output's one channel above which a pixel is class 1: a probability, or its logit."""
    share = 0.5 if threshold is None else threshold
    return share if role == "probabilities" else math.log(share / (1 - share))


def labels_of(value: Array, role: Role, threshold: float | None = None) -> Array:
    """Class indices (N, H, W) of an output: as they are, or the largest channel; of one channel, 1 above the threshold."""
    if role == "labels":
        return value.astype(np.int64)
    return (value[:, 0] > edge_of(role, threshold)).astype(np.int64) if value.shape[1] == 1 else value.argmax(1)


def confidence_of(value: Array, role: Role, threshold: float | None = None) -> Array | None:
    """(N, H, W) probability of each label of ``labels_of``; None where the output holds labels only."""
    if role == "labels":
        return None
    if value.shape[1] == 1:
        probability = metrics.sigmoid(value[:, 0]) if role == "logits" else value[:, 0]
        return metrics.binary_confidence(probability, labels_of(value, role, threshold))
    return metrics.confidence_of(value) if role == "logits" else value.max(1)


def at_size(value: Array, role: Role, size: tuple[int, int]) -> Array:
    """An output at the height and width of its image: values between theirs, labels by the nearest."""
    if value.shape[-2:] == size:
        return value
    return nearest(value, size) if role == "labels" else enlarge(value, size)


@dataclass(frozen=True)
class Mask(Prediction):
    """Labels (H, W) uint8 of one image."""

    labels: Pixels
    classes: tuple[ClassSpec, ...]

    def write(self, path: Path | str) -> None:
        """A PNG of class indices with the classes' colours as its palette."""
        from PIL import Image

        picture = Image.fromarray(self.labels)
        picture.putpalette([part for each in self.classes for part in rgb(each.colour)])
        file = Path(path)
        with temporary_folder(file.parent) as folder:
            picture.save(folder / file.name, "PNG")
            publish(folder / file.name, file)

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
    """One 4-D output (N, classes, h, w), of the image's size or smaller; or (N, 1, h, w), a class and the background."""

    threshold: float | None = None

    name = title = "segmentation"
    order = 10
    output_roles = ("logits", "probabilities", "labels")
    metrics = (Metric("miou", "mIoU", headline=True), Metric("dice", "Dice"), Metric("map50", "mAP@0.5"))
    agree_unit = "pixels"
    labelled_form = "images/ and labels/ or masks/"
    suffix, file_key = ".mask.png", "mask"
    run_help = "Segmentation writes NAME.mask.png, a PNG of class indices in the classes' colours."

    def signature_of(self, outputs: Sequence[tuple[tuple[int, ...], str]]) -> tuple[TensorSpec, ...] | None:
        """One 4-D output of floats holds class logits; one (N, H, W) of integers holds labels."""
        if len(outputs) != 1:
            return None
        ((shape, dtype),) = outputs
        if len(shape) == 3 and "int" in dtype:
            return (TensorSpec("labels", "labels", shape, "other", dtype),)
        return (TensorSpec("logits", "logits", shape, "NCHW", dtype),) if len(shape) == 4 else None

    def class_count(self, output: TensorSpec) -> int:
        """One channel tells two classes apart."""
        return 2 if self.is_binary(output) else super().class_count(output)

    def is_binary(self, output: TensorSpec) -> bool:
        """One channel of logits or probabilities."""
        return output.role in ("logits", "probabilities") and output.layout == "NCHW" and output.shape[1] == 1

    def with_threshold(self, threshold: float | None) -> Segmentation:
        """The same task with another threshold."""
        if threshold == self.threshold:
            return self
        task = copy.copy(self)
        task.threshold = threshold
        return task

    def with_role(self, logits: TensorSpec, role: Role) -> TensorSpec:
        """Probabilities keep the shape; labels are int32 (N, H, W)."""
        if role == "probabilities":
            return dataclasses.replace(logits, name=role, role=role, value_range=(0.0, 1.0))
        n, _, height, width = logits.shape
        return dataclasses.replace(logits, name=role, role=role, shape=(n, height, width), layout="other", dtype="int32")

    def labels(self, output: Array, role: Role) -> Array:
        """(N, H, W) of (N, K, H, W)."""
        return labels_of(output, role, self.threshold)

    def agreement(self, reference: Array, artifact: Array, role: Role, margin: float = 0.0) -> float | None:
        """Share of the output's pixels with equal labels; a tie in a few weighs little, so ``margin`` is not looked at."""
        del margin
        if role not in self.output_roles and reference.shape[1] < 2:
            return None
        return metrics.label_agreement(self.labels(reference, role), self.labels(artifact, role))

    def score(self, output: Array, role: Role, truth: Array, classes: int) -> dict[str, float]:
        """``miou``, ``dice`` and ``map50`` against masks (N, H, W), means over the classes.

        An output of a lower resolution is enlarged to the masks' first. IoU and Dice count all pixels of the set that are
        scored; ``map50`` is ``metrics.AveragePrecision``.
        """
        table = np.zeros((classes, classes), np.int64)
        precision = metrics.AveragePrecision(classes)
        size = (truth.shape[1], truth.shape[2])
        for value, mask in paired(output, truth):
            whole, kept = at_size(value[None], role, size), mask >= 0
            if not kept.any():
                continue
            labels, sure = self.labels(whole, role)[0][kept], confidence_of(whole, role, self.threshold)
            table += metrics.confusion(mask[kept], labels, classes)
            precision.add(mask[kept][None], labels[None], None if sure is None else sure[0][kept][None])
        return {"miou": metrics.mean_iou(table), "dice": metrics.mean_dice(table), "map50": precision.mean()}

    def is_labelled(self, folder: Path) -> bool:
        """Masks lie in ``labels`` or ``masks``."""
        from onenet.base.masks import mask_folder

        return mask_folder(folder) is not None

    def open_labels(self, folder: Path, classes: Sequence[ClassSpec] = (), ignore_index: int | None = None) -> Labels:
        """Images of ``images/``, each with the mask of its name in ``labels/`` or ``masks/``, resized by nearest neighbour.

        A mask holds a class index for each pixel; of two classes also 0 and 255; or where the classes have colours of their
        own, those.
        """
        from onenet.base.masks import decoded, mask_folder, mask_of, read_mask

        images, masks = folder / "images", mask_folder(folder) or folder / "labels"
        own = [each.colour for each in classes] != [each.colour for each in numbered_classes(len(classes))]
        colours = {rgb(each.colour): k for k, each in enumerate(classes)} if own else {}

        def read(image: Path, size: tuple[int, int], wanted: tuple[int, int]) -> Array:
            return read_mask(mask_of(masks, image.relative_to(images)), size, *wanted, colours)

        def finish(values: Array, files: Sequence[Path]) -> Array:
            return decoded(values, files, len(classes), ignore_index)

        return Labels(images, read, finish)

    def draw(self, path: Path, rows: PictureRows) -> None:
        """Image, truth, float labels, artifact labels and where the two differ."""
        from onenet.tasks.preview import draw_preview

        size = (rows.images.shape[2], rows.images.shape[3])
        both = (rows.reference, rows.artifact)
        reference, artifact = (self.labels(at_size(each, rows.role, size), rows.role) for each in both)
        classes, truth = list(rows.classes), rows.truth
        if truth is not None and (truth < 0).any():
            truth, classes = np.where(truth < 0, len(classes), truth), [*classes, NOT_SCORED]
        draw_preview(path, rows.images, truth, reference, artifact, classes, rows.title, rows.subtitle)

    def check_runs(self, model: ImageModel) -> None:
        """One image in; classes at the size of the image, or smaller, out."""
        model.check_one_image()
        output, classes = model.output, len(model.classes)
        inside = len(output.shape) > 2 and all(0 < have <= whole for have, whole in paired(output.shape[-2:], model.size))
        counted = output.role == "labels" or self.class_count(output) == classes
        if output.role not in self.output_roles or not inside or not 2 <= classes <= CLASSES or not counted:
            raise RequestError(
                f"{model.name} gives {output.role} {shape_text(output.shape)} and names {classes} classes; a mask needs "
                f"logits, probabilities or labels of 2 to {CLASSES} classes at the size of the image or smaller"
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
    return nearest(labels, (size[0], size[1])) if plan.resized else labels


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
        whole = at_size(results, model.output.role, (height, width))
        for (row, column), values in paired(part, labels_of(whole, model.output.role, model.threshold)):
            grid.paste(labels, row, column, values)
        if progress:
            progress(len(part))
    return labels


TASK = Segmentation()
