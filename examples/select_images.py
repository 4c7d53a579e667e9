"""Choose the shipped images: 32 for calibration from ``train``, 8 with masks for evaluation from ``val``.

    python examples/select_images.py DATA

DATA is laid out as for train_nuclei.py. Files are copied byte for byte. The choice has no random part: images are told
apart by look, each look gets its share, and within a look the images are spread over brightness and nucleus area.
A second run changes nothing. The table for calibration/data/README.md is printed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image

from onenet.base.images import read_image

LOOKS = ("fluorescence", "purple on purple", "purple on white", "pink tissue", "gray brightfield")
CALIBRATION = 32
AT_LEAST = 3  # of each rare look, or all there are; fluorescence gets the rest
EVALUATION = dict(zip(LOOKS, (5, 1, 1, 0, 1), strict=True))


@dataclass(frozen=True)
class Picture:
    """One image of the data set; ``brightness`` and ``area`` (share of nucleus pixels) are in [0, 1]."""

    path: Path
    mask: Path
    look: str
    brightness: float
    area: float


def look_of(pixels: np.ndarray) -> str:
    """One of LOOKS, told apart by colour; each limit lies in a wide gap of this data set."""
    rgb = pixels.astype(np.float64) / 255
    if float(np.ptp(rgb, axis=2).mean()) < 0.02:
        return "gray brightfield" if rgb.mean() > 0.5 else "fluorescence"
    red, green, _ = rgb.mean(axis=(0, 1))
    if red - green > 0.24:  # at least 0.29 in pink tissue, at most 0.18 elsewhere
        return "pink tissue"
    # Of the brightest quarter of the pixels: at most 0.03 on white slides, at least 0.15 on purple ones.
    background = rgb[rgb.mean(axis=2) >= np.quantile(rgb.mean(axis=2), 0.75)].mean(axis=0)
    return "purple on white" if background[2] - background[1] < 0.1 else "purple on purple"


def read_split(folder: Path) -> list[Picture]:
    pictures = []
    for path in sorted((folder / "images").glob("*.jpg")):
        mask = folder / "labels" / f"{path.stem}.png"
        pixels, nuclei = read_image(path), np.asarray(Image.open(mask)) > 0
        pictures.append(Picture(path, mask, look_of(pixels), float(pixels.mean()) / 255, float(nuclei.mean())))
    if not pictures:
        raise SystemExit(f"no images under {folder / 'images'}")
    return pictures


def middles(items: Sequence[Picture], count: int) -> list[Picture]:
    """``count`` of the items: the middles of equal parts."""
    return [items[(2 * i + 1) * len(items) // (2 * count)] for i in range(count)]


def ordered(items: Iterable[Picture], value: Callable[[Picture], float]) -> list[Picture]:
    return sorted(items, key=lambda item: (value(item), item.path.name))


def spread(items: Sequence[Picture], count: int) -> list[Picture]:
    """``count`` of the items over bands of brightness and, in each band, over nucleus area."""
    if count == 0:
        return []
    bands = max(1, round(count**0.5))
    by_brightness = ordered(items, lambda item: item.brightness)
    chosen = []
    for k in range(bands):
        band = by_brightness[k * len(items) // bands : (k + 1) * len(items) // bands]
        share = (k + 1) * count // bands - k * count // bands
        chosen += middles(ordered(band, lambda item: item.area), share)
    return chosen


def shares(pictures: Sequence[Picture]) -> dict[str, int]:
    """How many of each look to take for calibration."""
    counts = {look: sum(picture.look == look for picture in pictures) for look in LOOKS}
    wanted = {look: max(AT_LEAST, round(CALIBRATION * n / len(pictures))) for look, n in counts.items()}
    taken = {look: min(wanted[look], counts[look]) for look in LOOKS[1:]}
    return {LOOKS[0]: CALIBRATION - sum(taken.values()), **taken}


def choose(pictures: Sequence[Picture], counts: dict[str, int]) -> list[Picture]:
    chosen: list[Picture] = []
    for look, count in counts.items():
        chosen += spread([picture for picture in pictures if picture.look == look], count)
    return chosen


def copy(files: Sequence[Path], folder: Path) -> None:
    """Byte for byte; refuses a folder that holds images of another choice."""
    folder.mkdir(parents=True, exist_ok=True)
    strange = {path.name for path in folder.iterdir()} - {path.name for path in files}
    if strange:
        raise SystemExit(f"{folder} holds files that are not in this choice, remove them: {', '.join(sorted(strange))}")
    for path in files:
        part = folder / f"{path.name}.part"
        part.write_bytes(path.read_bytes())
        os.replace(part, folder / path.name)


def table(title: str, pictures: Sequence[Picture]) -> str:
    rows = [f"### {title}", "", "| file | look | brightness | nucleus area | SHA-256 |", "|---|---|---|---|---|"]
    for p in sorted(pictures, key=lambda picture: picture.path.name):
        digest = hashlib.sha256(p.path.read_bytes()).hexdigest()
        rows.append(f"| {p.path.name} | {p.look} | {p.brightness:.2f} | {p.area:.2f} | `{digest}` |")
    return "\n".join([*rows, ""])


def main(
    data: Annotated[Path, typer.Argument(help="folder with train/ and val/", exists=True, file_okay=False)],
    out: Annotated[Path, typer.Option(help="folder to fill")] = Path(__file__).parents[1] / "calibration" / "data",
) -> None:
    train = read_split(data / "train")
    calibration = choose(train, shares(train))
    evaluation = choose([picture for picture in read_split(data / "val") if picture.area > 0], EVALUATION)
    copy([picture.path for picture in calibration], out / "calibration")
    copy([picture.path for picture in evaluation], out / "evaluation" / "images")
    copy([picture.mask for picture in evaluation], out / "evaluation" / "labels")
    print(table("calibration/", calibration))
    print(table("evaluation/", evaluation))


if __name__ == "__main__":
    typer.run(main)
