"""An image of any size through a model of a fixed size, tile by tile, with the result of the whole image. numpy only.

Where a network's output at a pixel depends on a bounded part of the image, a tile that holds that part gives the same
value there. Tiles start at multiples of the network's patch; inside the image the outer ``halo`` pixels of each are cut
off, at the image's own borders they are kept, because the tile's border is the image's there. An image whose sides are no
multiples of the patch is padded by repeating its last row and column, and the output is cut back to its size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from onenet.base.arrays import Array, paired, run_all
from onenet.base.text import shape_text
from onenet.errors import RequestError


@dataclass(frozen=True)
class Tiling:
    """How an image of any size runs through a model of fixed size, tile by tile, with the result of the whole image."""

    patch: int = 1
    """Tiles start at multiples of this, and their sides are multiples of it."""
    halo: tuple[int | None, int | None] = (0, 0)
    """Rows and columns at each edge of a tile that depend on the image outside it. None: the whole axis does."""
    refused: str | None = None
    """Why there are no exact tiles; the other fields mean nothing then."""
    image_size: tuple[int, int] | None = None
    """Height and width of the images that the model was made for, where its input is a tile of them."""

    @property
    def smallest(self) -> int:
        """The smallest tile's side along the axes that can be cut."""
        return max(2 * halo for halo in self.halo if halo is not None) + self.patch

    def as_dict(self) -> dict[str, object]:
        """As a manifest holds it."""
        if self.refused is not None:
            return {"refused": self.refused}
        fields: dict[str, object] = {"patch": self.patch, "halo": list(self.halo)}
        return fields if self.image_size is None else {**fields, "image_size": list(self.image_size)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Tiling:
        """From a manifest's entry. Raises TypeError where a field is unknown."""
        pairs = {key: tuple(data[key]) for key in ("halo", "image_size") if data.get(key) is not None}
        return cls(**{**data, **pairs})


@dataclass(frozen=True)
class Span:
    """Where a tile starts along one axis, and which pixels of the image (first to last, exclusive) are taken from it."""

    start: int
    first: int
    last: int


@dataclass(frozen=True)
class Grid:
    """The tiles of one image; ``size`` and ``tile`` are (height, width)."""

    size: tuple[int, int]
    tile: tuple[int, int]
    rows: tuple[Span, ...]
    columns: tuple[Span, ...]

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    def __iter__(self) -> Iterator[tuple[Span, Span]]:
        return ((row, column) for row in self.rows for column in self.columns)

    def cut(self, image: Array, row: Span, column: Span) -> Array:
        """The tile of an image (H, W, ...) that starts there, its last row and column repeated beyond the image."""
        height, width = self.tile
        part = image[row.start : row.start + height, column.start : column.start + width]
        missing = (height - part.shape[0], width - part.shape[1])
        if missing == (0, 0):
            return part
        return np.pad(part, [(0, missing[0]), (0, missing[1]), *[(0, 0)] * (image.ndim - 2)], mode="edge")

    def paste(self, target: Array, row: Span, column: Span, result: Array) -> None:
        """Copy what counts of a tile's result (h, w, ...) to its place in ``target`` (H, W, ...)."""
        bottom, right = min(row.last, self.size[0]), min(column.last, self.size[1])
        part = result[row.first - row.start : bottom - row.start, column.first - column.start : right - column.start]
        target[row.first : bottom, column.first : right] = part


def make_grid(size: tuple[int, int], tile: tuple[int, int], tiling: Tiling | None) -> Grid:
    """The tiles (height, width) of an image of ``size`` (height, width), as the network's tiling allows.

    An image of exactly the tile's size needs no tiling: it is one tile.

    Raises:
        RequestError: the network has no exact tiles, or none of this size for this image; says which there are.
    """
    if size == tile:
        return Grid(size, tile, (Span(0, 0, size[0]),), (Span(0, 0, size[1]),))
    if tiling is None or tiling.refused is not None:
        raise RequestError(f"no exact tiles: {tiling.refused if tiling else 'the artifact says nothing of tiles'}")
    for axis, name in enumerate(("row", "column")):
        if tiling.halo[axis] is not None:
            check_tile(tile[axis], tiling.patch, tiling.halo[axis], name)
    rows, columns = (spans(size, tile, tiling, axis) for axis in (0, 1))
    return Grid(size, tile, rows, columns)


def check_tile(tile: int, patch: int, halo: int | None, axis: str = "row") -> None:
    """Refuse a length of tiles that cannot work for any image.

    Raises:
        RequestError: not a positive multiple of the patch, or nothing left within the halo.
    """
    if tile < 1 or tile % patch:
        near = max(patch, round(tile / patch) * patch)
        raise RequestError(f"a tile of {tile} {axis}s is no multiple of {patch}, the network's patch; nearest: {near}")
    if halo and tile < 2 * halo + patch:
        raise RequestError(
            f"a tile of {tile} {axis}s is too small: {halo} on either side depend on the image outside it; "
            f"smallest: {2 * halo + patch}"
        )


def spans(size: tuple[int, int], tile: tuple[int, int], tiling: Tiling, axis: int) -> tuple[Span, ...]:
    """Tiles along one axis of an image; the last one ends with the padded image."""
    length, side, halo = -(-size[axis] // tiling.patch) * tiling.patch, tile[axis], tiling.halo[axis]
    whole, piece = (shape_text(each) for each in (size, tile))
    if halo is None and size[axis] != side:
        name = ("height", "width")[axis]
        raise RequestError(
            f"the image is {whole}, the tile {piece}: in this network every pixel of a {('column', 'row')[axis]} depends on "
            f"every other, so the {name}s must be equal. Export with --input-size for images of this {name}"
        )
    if halo is None:
        return (Span(0, 0, side),)
    if length < side and halo:
        smallest = 2 * halo + tiling.patch
        raise RequestError(
            f"the image is {whole}, smaller than the tile {piece}, whose outer {halo} pixels count only at the image's border. "
            + (f"Export with --tile {smallest} to {length}" if length >= smallest else f"The smallest tile is {smallest}")
        )
    if length <= side:
        return (Span(0, 0, length),)
    found, step = [], side - 2 * halo
    start, first = 0, 0
    while start + side < length:
        found.append(Span(start, first, start + side - halo))
        start, first = start + step, found[-1].last
    return (*found, Span(length - side, first, length))


def run_tiled(run: Callable[[Array], Array], images: Array, grid: Grid, batch: int = 1) -> Array:
    """Whole outputs (N, K, H, W), or labels (N, H, W), of images (N, C, H, W) from a network that takes tiles.

    ``run`` takes (batch, C, h, w). For evaluation and calibration, whose images are small: all outputs are held.
    """
    wholes = []
    for image in images:
        tiles = [grid.cut(image.transpose(1, 2, 0), *each).transpose(2, 0, 1) for each in grid]
        results = run_all(run, np.ascontiguousarray(np.stack(tiles)), batch)
        whole = np.empty((*results.shape[1:-2], *grid.size), results.dtype)
        for (row, column), result in paired(grid, results):
            grid.paste(np.moveaxis(whole, (-2, -1), (0, 1)), row, column, np.moveaxis(result, (-2, -1), (0, 1)))
        wholes.append(whole)
    return np.stack(wholes)
