"""Folders of images, one file at a time: unreadable ones are listed, and others take their place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from onenet.base.images import EXTENSIONS, ImageError, Pixels, decode, find_images, read_bytes
from onenet.calibration.inputs import sha256
from onenet.errors import RequestError


@dataclass(frozen=True, eq=False)
class ReadFile:
    """An image file that could be read."""

    path: Path
    place: int
    """In the folder, in name order."""
    digest: str
    """SHA-256 of the file's bytes."""
    pixels: Pixels
    """(H, W, 3) uint8."""


def read_folder(folder: Path, limit: int | None, skipped: list[str]) -> Iterator[ReadFile]:
    """Up to ``limit`` readable images, those evenly spaced by name first; a line in ``skipped`` for each unreadable one.

    Raises:
        RequestError: no image, or none that can be read.
    """
    paths = some_images(folder)
    wanted = len(paths) if limit is None else min(limit, len(paths))
    first, count = evenly(len(paths), wanted), 0
    for place in (*first, *sorted(set(range(len(paths))) - set(first))):
        if count == wanted:
            return
        name = paths[place].relative_to(folder).as_posix()
        try:
            data = read_bytes(paths[place], name)
            pixels = decode(data, name)
        except ImageError as error:
            skipped.append(str(error))
            continue
        count += 1
        yield ReadFile(paths[place], place, sha256(data), pixels)
    if not count:
        raise RequestError(f"{folder} holds {len(paths)} image file(s), none readable: {min(skipped)}")


def some_images(folder: Path) -> list[Path]:
    """
    Raises:
        RequestError: there is none.
    """
    paths = find_images(folder)
    if not paths:
        raise RequestError(f"{folder} holds no image; names that count end in {', '.join(EXTENSIONS)}")
    return paths


def evenly(count: int, wanted: int) -> list[int]:
    """``wanted`` different indices below ``count``: the middles of equal parts."""
    return [(2 * i + 1) * count // (2 * wanted) for i in range(wanted)]


def base_name(folder: Path) -> str:
    """The folder's own name, also for ``.``."""
    return Path(os.path.abspath(folder)).name
