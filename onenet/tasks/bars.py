"""A picture of what a classifier does: each image with its likeliest classes, by the float model and by the artifact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from onenet.base.arrays import Array, paired
from onenet.base.drawing import DIFFERS, GAP, GREY, INK, MARGIN, Page, rgb, text_width
from onenet.base.files import publish, temporary_folder
from onenet.errors import RequestError
from onenet.spec import ClassSpec
from onenet.tasks.preview import CELL, LEGEND, SUBTITLE, TITLE, fitted, to_bytes

if TYPE_CHECKING:
    from onenet.base.images import Pixels

ROWS = 8
SHOWN = 5
"""Classes for each image."""
NAMES, BARS, FIGURES = 260, 420, 90
"""Widths in pixels of a class's name, of a bar for a probability of 1, and of the figure behind it."""
LINE, BAR = 46, 15
"""Heights in pixels of a class, and of each of its two bars."""
CAPTION, SPACE = 34, 28
"""Heights in pixels of the line above an image's bars, and of the space below a row."""
FLOAT, ARTIFACT, TRACK = "#9aa4af", "#0072b2", "#eef1f4"


@dataclass(frozen=True)
class Row:
    """One image and what is drawn beside it."""

    picture: Pixels
    classes: tuple[int, ...]
    truth: int | None
    reference: Array
    """(K,) probabilities of the float model."""
    artifact: Array

    @property
    def height(self) -> int:
        """Pixels that it takes, without the space below it."""
        return max(len(self.picture), CAPTION + LINE * len(self.classes))


def draw_bars(
    path: Path,
    images: Array,
    truth: Array | None,
    reference: Array,
    artifact: Array,
    classes: Sequence[ClassSpec],
    title: str,
    subtitle: str,
) -> None:
    """Write a PNG with one row per image; the same arguments give the same bytes.

    Args:
        images: (N, 3, H, W) in [0, 1]; (N, 1, H, W) is shown in grey. Of more than eight, eight evenly spaced ones are drawn.
        truth: (N,) class indices; None where they are not known.
        reference: (N, K) probabilities of the float model.
        artifact: (N, K) probabilities of the artifact.
        classes: name of every class.

    Raises:
        RequestError: shapes that do not belong together.
        ToolError: matplotlib is missing, or the file cannot be written.
    """
    from PIL import Image  # only here: tasks travel to devices that have no Pillow

    check_shapes(images, truth, reference, artifact, len(classes))
    count = min(len(images), ROWS)
    places = [(2 * i + 1) * len(images) // (2 * count) for i in range(count)]
    rows = [make_row(images[i], None if truth is None else int(truth[i]), reference[i], artifact[i]) for i in places]
    note = f"{count} of {len(images)} images" if count < len(images) else ""
    picture = draw(rows, classes, title, subtitle, note)
    with temporary_folder(path.parent) as folder:
        # Only the pixels: matplotlib's own writer would add its version to the file.
        Image.fromarray(picture).save(folder / path.name, "PNG", optimize=True)
        publish(folder / path.name, path)


def check_shapes(images: Array, truth: Array | None, reference: Array, artifact: Array, classes: int) -> None:
    """Refuse images, probabilities and labels that do not belong together, with a RequestError."""
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not images.size:
        raise RequestError(f"a picture needs images (N, 3, H, W); found {images.shape}")
    for name, values in (("float", reference), ("artifact", artifact)):
        if values.shape != (len(images), classes):
            raise RequestError(
                f"{name} probabilities have shape {values.shape}; {len(images)} images of {classes} classes expected"
            )
    if truth is not None and truth.shape != (len(images),):
        raise RequestError(f"true classes have shape {truth.shape}; {len(images)} images have one each")
    if truth is not None and not (int(truth.min()) >= 0 and int(truth.max()) < classes):
        raise RequestError(f"true classes reach from {truth.min()} to {truth.max()}; {classes} classes are 0..{classes - 1}")


def make_row(image: Array, truth: int | None, reference: Array, artifact: Array) -> Row:
    """The picture of one image (C, H, W) and its classes: the float model's likeliest, the artifact's first and the truth."""
    from PIL import Image  # only here: tasks travel to devices that have no Pillow

    order = [int(k) for k in np.argsort(-reference, kind="stable")]
    needed = dict.fromkeys([order[0], int(artifact.argmax()), *([] if truth is None else [truth])])
    others = [k for k in order if k not in needed][: max(0, SHOWN - len(needed))]
    shown = tuple(k for k in order if k in needed or k in others)
    colour = np.broadcast_to(np.clip(image, 0, 1).transpose(1, 2, 0), (*image.shape[1:], 3))
    return Row(fitted(to_bytes(colour), Image.Resampling.BICUBIC), shown, truth, reference, artifact)


def draw(rows: Sequence[Row], classes: Sequence[ClassSpec], title: str, subtitle: str, note: str) -> Pixels:
    """The whole picture, (height, width, 3): texts drawn by matplotlib, pictures and bars copied in unscaled."""
    left = MARGIN + CELL + 2 * GAP
    width = left + NAMES + BARS + FIGURES + MARGIN
    top = MARGIN + TITLE + SUBTITLE + GAP
    tops = [top + sum(row.height + SPACE for row in rows[:i]) for i in range(len(rows))]
    bottom = tops[-1] + rows[-1].height + SPACE
    page = Page(width, bottom + LEGEND + bool(note) * LEGEND + MARGIN)
    page.text(MARGIN, MARGIN + TITLE / 2, title, 28, bold=True)
    page.text(MARGIN, MARGIN + TITLE + SUBTITLE / 2, subtitle, 20, GREY)
    bars = [bar for y, row in paired(tops, rows) for bar in write_row(page, row, classes, left, y)]
    page.entry(left, bottom + LEGEND / 2, "float model", FLOAT)
    page.entry(left + 200, bottom + LEGEND / 2, "artifact", ARTIFACT)
    page.text(MARGIN, bottom + 1.5 * LEGEND, note, 18, GREY)
    picture = page.pixels()
    for y, row in paired(tops, rows):
        picture[y : y + len(row.picture), MARGIN : MARGIN + CELL] = row.picture
    for x, y, length, colour in bars:
        picture[y : y + BAR, x : x + BARS] = rgb(TRACK)
        picture[y : y + BAR, x : x + length] = rgb(colour)
    return picture


def write_row(page: Page, row: Row, classes: Sequence[ClassSpec], left: int, top: int) -> list[tuple[int, int, int, str]]:
    """Write the texts of one row; its bars as (x, y, length, colour)."""
    caption(page, row, classes, left, top)
    bars = []
    for i, k in enumerate(row.classes):
        y = top + CAPTION + i * LINE
        page.text(left, y + BAR, shortened(classes[k].name, NAMES - 2 * GAP, k == row.truth), 18, INK, bold=k == row.truth)
        for j, (values, colour) in enumerate(((row.reference, FLOAT), (row.artifact, ARTIFACT))):
            x, at, value = left + NAMES, y + j * (BAR + 1), float(np.clip(values[k], 0, 1))
            bars.append((x, at, round(BARS * value), colour))
            page.text(x + BARS + GAP, at + BAR / 2, f"{100 * value:.1f} %", 15, GREY)
    return bars


def caption(page: Page, row: Row, classes: Sequence[ClassSpec], left: int, top: int) -> None:
    """The line above a row's bars: the truth, and whether the first classes differ."""
    first, other = int(row.reference.argmax()), int(row.artifact.argmax())
    text = "" if row.truth is None else f"true class: {classes[row.truth].name}"
    page.text(left, top + CAPTION / 2 - 4, shortened(text, NAMES - GAP, False), 16, GREY)
    if first != other:
        page.entry(left + NAMES, top + CAPTION / 2 - 4, "the first classes differ", DIFFERS)


def shortened(name: str, width: float, bold: bool) -> str:
    """A name with its end left out where it is wider than so many pixels."""
    if text_width(name, 18, bold) <= width:
        return name
    while name and text_width(name + "…", 18, bold) > width:
        name = name[:-1]
    return name + "…"
