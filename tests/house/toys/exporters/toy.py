"""Writes a toy: the network's matrix, found by feeding it one channel at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from onenet.exporters.job import Job, as_list


def convert(job: Job, path: Path) -> None:
    """Write weight (K, C) and bias (K,), and what the inputs and outputs are called."""
    (image,), (output,) = job.model.spec.inputs, job.model.spec.outputs
    channels = image.shape[1]
    probes = torch.zeros(channels + 1, *image.shape[1:])
    probes[torch.arange(channels), torch.arange(channels)] = 1  # the last one stays zero
    with torch.no_grad():
        values = torch.cat([as_list(job.arranged.module(probe[None]))[0] for probe in probes])[:, :, 0, 0].numpy()
    with path.open("wb") as file:
        np.savez(
            file,
            weight=(values[:-1] - values[-1]).T,
            bias=values[-1],
            inputs=[image.name, *image.shape],
            outputs=[output.name, *output.shape],
        )


def embed(path: Path, manifest: str) -> None:
    """Add the manifest."""
    with np.load(path) as content:
        arrays = dict(content)
    with path.open("wb") as file:
        np.savez(file, **arrays, manifest=manifest)


def io_quantization(path: Path) -> dict[str, tuple[float, int]]:
    """Nothing is quantized."""
    del path
    return {}
