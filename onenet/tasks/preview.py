"""A picture of what an artifact does: image, truth, float labels, artifact labels and where the two differ.

Images 256 pixels wide are copied pixel by pixel. A differing pixel has the full colour and its neighbours half of it,
so that a single one stays visible; the percentage counts the differing pixels alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from onenet.base.arrays import Array, paired
from onenet.base.drawing import DIFFERS, ENTRY, GAP, GREY, MARGIN, SWATCH, Page, rgb, text_width
from onenet.base.files import publish, temporary_folder
from onenet.errors import RequestError
from onenet.spec import ClassSpec

if TYPE_CHECKING:
    from PIL.Image import Resampling

Pixels = NDArray[np.uint8]

ROWS = 8
CELL = 256
"""Width of a picture in pixels; five of them and the gaps make 1376, shown at about 1000 in a README."""
TITLE, SUBTITLE, HEADING, CAPTION, LEGEND = 48, 36, 40, 40, 34
"""Heights in pixels of the lines of text."""
DIM = 0.4
HALO = 0.5
"""Strength of the mark on a differing pixel's neighbours; without it one pixel is lost in a scaled-down picture."""
GREY_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)
"""Luma of ITU-R BT.601."""


@dataclass(frozen=True)
class Row:
    """Pictures (H, W, 3) of one image, by column, and the share of differing pixels."""

    pictures: dict[str, Pixels]
    differing: float


def draw_preview(
    path: Path,
    images: NDArray[np.float32],
    truth: NDArray[np.uint8] | None,
    reference: Array,
    artifact: Array,
    classes: Sequence[ClassSpec],
    title: str,
    subtitle: str,
    *,
    rows: int = ROWS,
) -> None:
    """Write a PNG grid with one row per image; the same arguments give the same bytes.

    Args:
        images: (N, 3, H, W) in [0, 1]; (N, 1, H, W) is shown in grey.
        truth: (N, H, W) class indices; None leaves the column out.
        reference: (N, H, W) labels of the float model.
        artifact: (N, H, W) labels of the artifact.
        classes: name and colour of every label.
        rows: the first so many images are drawn; a note says of how many.

    Raises:
        RequestError: shapes that do not belong together, or a label without a class.
        ToolError: matplotlib is missing, or the file cannot be written.
    """
    from PIL import Image  # only here: tasks travel to devices that have no Pillow

    labels = {"truth": truth, "float": reference, "artifact": artifact}
    given = {name: values for name, values in labels.items() if values is not None}
    check(images, given, len(classes))
    count = min(len(images), max(1, rows))
    drawn = [make_row(images[i], {k: v[i] for k, v in given.items()}, classes) for i in range(count)]
    note = f"{len(drawn)} of {len(images)} images" if len(drawn) < len(images) else ""
    picture = draw(drawn, classes, title, subtitle, note)
    with temporary_folder(path.parent) as folder:
        # Only the pixels: matplotlib's own writer would add its version to the file.
        Image.fromarray(picture).save(folder / path.name, "PNG", optimize=True)
        publish(folder / path.name, path)


def check(images: Array, labels: dict[str, Array], classes: int) -> None:
    """Refuse images and labels that do not belong together, with a RequestError."""
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not images.size:
        raise RequestError(f"a preview needs images (N, 3, H, W); found {images.shape}")
    expected = (len(images), *images.shape[2:])
    for name, values in labels.items():
        if values.shape != expected:
            raise RequestError(f"{name} labels have shape {values.shape}; the images ask for {expected}")
        low, high = int(values.min()), int(values.max())
        if low < 0 or high >= classes:
            found = low if low < 0 else high
            raise RequestError(f"{name} holds label {found}; {classes} classes have labels 0..{classes - 1}")


def make_row(image: NDArray[np.float32], labels: dict[str, Array], classes: Sequence[ClassSpec]) -> Row:
    """The pictures of one image (C, H, W) and its labels (H, W), scaled to the cell."""
    from PIL import Image  # only here: tasks travel to devices that have no Pillow

    palette = np.array([rgb(each.colour) for each in classes], np.uint8)
    colour = np.broadcast_to(np.clip(image, 0, 1).transpose(1, 2, 0), (*image.shape[1:], 3))
    dimmed = np.repeat((colour @ GREY_WEIGHTS)[..., None] * DIM, 3, 2)
    differs = labels["float"] != labels["artifact"]
    strength = np.maximum(differs, HALO * spread(differs))[..., None]
    marked = to_bytes(dimmed * (1 - strength) + np.array(rgb(DIFFERS)) / 255 * strength)
    pictures = {
        "image": fitted(to_bytes(colour), Image.Resampling.BICUBIC),
        **{name: fitted(palette[values], Image.Resampling.NEAREST) for name, values in labels.items()},
        "disagreement": fitted(marked, Image.Resampling.NEAREST),
    }
    return Row(pictures, float(differs.mean()))


def spread(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(H, W): the mask and its eight neighbours."""
    height, width = mask.shape
    padded = np.pad(mask, 1)
    result: NDArray[np.bool_] = np.zeros_like(mask)
    for y in range(3):
        for x in range(3):
            result |= padded[y : y + height, x : x + width]
    return result


def fitted(picture: Pixels, enlarge: Resampling) -> Pixels:
    """(H, W, 3) at a width of ``CELL``: unchanged if it fits; smaller by averaging, larger by ``enlarge``."""
    from PIL import Image  # only here: tasks travel to devices that have no Pillow

    height, width = picture.shape[:2]
    size = (CELL, max(1, round(height * CELL / width)))
    method = Image.Resampling.BOX if width > CELL else enlarge
    return np.asarray(Image.fromarray(picture).resize(size, method))


def draw(rows: list[Row], classes: Sequence[ClassSpec], title: str, subtitle: str, note: str) -> Pixels:
    """The whole picture, (height, width, 3): texts drawn by matplotlib, pictures copied in unscaled."""
    columns, cell = list(rows[0].pictures), len(rows[0].pictures["image"])
    width = 2 * MARGIN + len(columns) * CELL + (len(columns) - 1) * GAP
    lines = legend_lines(classes, width - 2 * MARGIN)
    first = MARGIN + TITLE + SUBTITLE + HEADING
    bottom = first + len(rows) * (cell + CAPTION)
    lefts = [MARGIN + i * (CELL + GAP) for i in range(len(columns))]
    tops = [first + i * (cell + CAPTION) for i in range(len(rows))]
    page = Page(width, bottom + (len(lines) + bool(note)) * LEGEND + MARGIN)
    page.text(MARGIN, MARGIN + TITLE / 2, title, 28, bold=True)
    page.text(MARGIN, MARGIN + TITLE + SUBTITLE / 2, subtitle, 20, GREY)
    for left, name in paired(lefts, columns):
        page.text(left, first - HEADING / 2, name, 20)
    for top, row in paired(tops, rows):
        page.entry(lefts[-1], top + cell + CAPTION / 2, f"{row.differing:.2%} of pixels differ", DIFFERS)
    for i, line in enumerate(lines):
        for x, each in line:
            page.entry(MARGIN + x, bottom + (i + 0.5) * LEGEND, each.name, each.colour)
    page.text(MARGIN, bottom + (len(lines) + 0.5) * LEGEND, note, ENTRY, GREY)
    picture = page.pixels()
    for top, row in paired(tops, rows):
        for left, name in paired(lefts, columns):
            picture[top : top + cell, left : left + CELL] = row.pictures[name]
    return picture


def legend_lines(classes: Sequence[ClassSpec], limit: float) -> list[list[tuple[float, ClassSpec]]]:
    """Classes with their left edge, broken into lines no wider than ``limit`` pixels."""
    lines: list[list[tuple[float, ClassSpec]]] = [[]]
    x = 0.0
    for each in classes:
        width = SWATCH + text_width(each.name, ENTRY)
        if lines[-1] and x + width > limit:
            lines.append([])
            x = 0.0
        lines[-1].append((x, each))
        x += width + 2 * GAP
    return lines


def to_bytes(values: NDArray[np.float32]) -> Pixels:
    """[0, 1] as 0..255."""
    return np.rint(values * 255).astype(np.uint8)
