"""Tiles give what the whole image gives."""

from __future__ import annotations

import numpy as np
import pytest

from onenet.base.tiles import Tiling, make_grid, run_tiled
from onenet.errors import RequestError


def blurred(images: np.ndarray) -> np.ndarray:
    """Mean of three rows, the border repeated: a row depends on one row on either side."""
    padded = np.pad(images, [(0, 0), (0, 0), (1, 1), (0, 0)], mode="edge")
    result: np.ndarray = (padded[:, :, :-2] + padded[:, :, 1:-1] + padded[:, :, 2:]) / 3
    return result


@pytest.mark.parametrize("size", [(8, 8), (19, 8), (24, 16), (40, 33)])
def test_tiles_with_a_halo_give_the_whole_result(size: tuple[int, int]) -> None:
    images = np.random.default_rng(0).random((2, 3, *size))
    grid = make_grid(size, (8, 8), Tiling(1, (1, 0)))
    assert np.allclose(run_tiled(blurred, images, grid), blurred(images))


def test_a_halo_that_is_too_small_does_not() -> None:
    images = np.random.default_rng(0).random((1, 1, 24, 8))
    grid = make_grid((24, 8), (8, 8), Tiling(1, (0, 0)))
    assert not np.allclose(run_tiled(blurred, images, grid), blurred(images))


@pytest.mark.parametrize(
    ("tiling", "tile", "says"),
    [
        (None, (8, 8), "the artifact says nothing of tiles"),
        (Tiling(refused="it sees everything"), (8, 8), "it sees everything"),
        (Tiling(16, (0, 0)), (8, 8), "no multiple of 16"),
        (Tiling(4, (4, 0)), (8, 8), "smallest: 12"),
        (Tiling(1, (None, 0)), (8, 8), "the heights must be equal"),
    ],
)
def test_what_cannot_be_exact_is_refused(tiling: Tiling | None, tile: tuple[int, int], says: str) -> None:
    with pytest.raises(RequestError, match=says):
        make_grid((32, 32), tile, tiling)


@pytest.mark.parametrize("tiling", [Tiling(16, (0, 2)), Tiling(4, (None, 1), image_size=(64, 32)), Tiling(refused="no")])
def test_a_tiling_survives_a_manifest(tiling: Tiling) -> None:
    assert Tiling.from_dict(tiling.as_dict()) == tiling
