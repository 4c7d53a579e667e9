"""Whether a file of a small network computes what the network, or its int8 simulation, does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

import onenet
from onenet.base.metrics import sqnr_db
from onenet.base.quiet import quiet
from onenet.lowering.proof import outputs
from onenet.models.build import build
from onenet.runtimes.artifact import open_artifact
from tests.conftest import smooth_images

MARGIN_DB = 1.0
"""Kernels round in their own way."""
RELATIVE = 2e-5
"""Of the largest value in fp32."""
SIZE = (16, 24)


def check(network: nn.Module, target: str, precision: str, folder: Path) -> None:
    """Export, run the file in its runtime and compare every output.

    Args:
        network: of one image of three channels and of ``SIZE``.
        precision: fp32, compared with the network; or int8, which may be ``MARGIN_DB`` further from it than its simulation.
    """
    images = np.round(smooth_images(8, 3, *SIZE) * 255).astype(np.float32) / np.float32(255)  # Core ML's are bytes
    with quiet():
        model = onenet.lower(build(network.eval(), input_size=SIZE))
        quantized = onenet.calibrate(model, list(images)) if precision == "int8" else None
        path = onenet.export(quantized or model, target=target, precision=precision, out=folder, verify=False).path
    artifact = open_artifact(path)
    found = [artifact.run({artifact.inputs[0].name: each[None]}) for each in images[:3]]
    inputs = [[torch.from_numpy(each[None])] for each in images[:3]]
    expected = [outputs(network, each) for each in inputs]
    simulated = [outputs(quantized.reference, each) for each in inputs] if quantized else None
    for place, output in enumerate(artifact.outputs):
        wanted = np.stack([each[place].numpy() for each in expected])
        own = np.stack([each[output.name] for each in found]).reshape(wanted.shape)
        if simulated is None:
            assert np.abs(own - wanted).max() <= RELATIVE * np.abs(wanted).max()
        else:
            reference = np.stack([each[place].numpy() for each in simulated])
            assert sqnr_db(wanted, own) >= min(sqnr_db(wanted, reference) - MARGIN_DB, 100)
