"""A network's first output on many images: what a budget, a preview and an artifact's quality are measured on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from onenet.base import tiles
from onenet.base.arrays import Array, run_all
from onenet.base.images import Floats
from onenet.base.tiles import Tiling
from onenet.model import Model

Run = Callable[[Floats], Array]
"""A batch of images (N, C, H, W) to the first output."""


def float_outputs(model: Model, images: Floats, module: nn.Module | None = None) -> Array:
    """A network's first output on images (N, C, H, W), in float32; in tiles where it takes tiles of them.

    Args:
        module: a quantized form of the model's module, to run in its place.
    """
    network = model.module if module is None else module

    def run(batch: Floats) -> Array:
        with torch.no_grad():
            result = network(torch.from_numpy(np.ascontiguousarray(batch)))
        first: torch.Tensor = result if isinstance(result, torch.Tensor) else result[0]
        return first.numpy()

    return outputs_of(run, images, model.spec.inputs[0].shape, model.tiling)


def outputs_of(run: Run, images: Floats, shape: tuple[int, ...], tiling: Tiling | None) -> Array:
    """``run`` on all images: batch by batch, or tile by tile where ``shape`` is that of a tile of them."""
    if images.shape[2:] == shape[2:] or tiling is None or tiling.image_size is None:
        return run_all(run, images, shape[0])
    _, _, height, width = shape
    grid = tiles.make_grid((images.shape[2], images.shape[3]), (height, width), tiling)
    return tiles.run_tiled(run, images, grid, shape[0])
