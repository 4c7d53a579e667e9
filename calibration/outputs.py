"""A network's first output on many samples: what a budget, a preview and an artifact's quality are measured on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import nn

from onenet.base import tiles
from onenet.base.arrays import Array, run_all
from onenet.base.tiles import Tiling
from onenet.calibration.inputs import UNNAMED, named
from onenet.lowering.threads import in_order
from onenet.model import Model
from onenet.spec import TensorSpec

Feeds = Mapping[str, Array]
"""One array for each input, by its name, the samples along the first axis."""
Run = Callable[[Feeds], Array]
"""A batch, of exactly the network's own size, to the first output."""


def float_outputs(model: Model, samples: Feeds | Array, module: nn.Module | None = None) -> Array:
    """A network's first output on samples, in float32; in tiles where it takes tiles of them.

    Args:
        model: what the samples are for.
        samples: one array for each input, by its name, the samples along the first axis; for a model of one input the array
            alone serves, images (N, C, H, W).
        module: a quantized form of the model's module, to run in its place.

    Raises:
        RequestError: an input is missing or unknown.
    """
    network = model.module if module is None else module
    feeds = named(model.spec, samples if isinstance(samples, Mapping) else {UNNAMED: samples})

    def run(batch: Feeds) -> Array:
        result = network(*(torch.from_numpy(np.ascontiguousarray(batch[name])) for name in feeds))
        first: torch.Tensor = result if isinstance(result, torch.Tensor) else result[0]
        return first.numpy()

    count, batch = len(next(iter(feeds.values()))), model.spec.inputs[0].shape[0]
    parts = [{name: array[start : start + batch] for name, array in feeds.items()} for start in range(0, count, batch)]
    return np.concatenate(in_order(lambda some: outputs_of(run, some, model.spec.inputs, model.tiling), parts))


def outputs_of(run: Run, feeds: Feeds, inputs: Sequence[TensorSpec], tiling: Tiling | None) -> Array:
    """``run`` on all samples: batch by batch, or tile by tile where the one input is a tile of the samples' images.

    Args:
        run: the network.
        feeds: all samples.
        inputs: what the network takes, NCHW where it is an image.
        tiling: of the network, where it has any.
    """
    first = inputs[0]
    images, batch = feeds[first.name], first.shape[0]
    if len(inputs) > 1 or images.shape[1:] == first.shape[1:] or tiling is None or tiling.image_size is None:
        places = np.arange(len(images))
        return run_all(lambda some: run({name: array[some] for name, array in feeds.items()}), places, batch)
    _, _, height, width = first.shape
    grid = tiles.make_grid((images.shape[2], images.shape[3]), (height, width), tiling)
    return tiles.run_tiled(lambda part: run({first.name: part}), images, grid, batch)
