"""int8 files with one layer's weights zeroed, scaled or permuted: ``verify`` fails wherever the outputs move, on all targets;
and the export fails where a layer is wrong that the outputs hardly show.

Networks whose outputs a check could miss. ``python -m bench.mutations`` asks the same of 20 networks.
"""

from __future__ import annotations

import functools
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import onenet
from onenet.base.arrays import Array
from onenet.base.quiet import quiet
from onenet.calibration.quantized import QuantizedModel
from onenet.calibration.samples import Samples
from onenet.errors import CheckError
from onenet.exporters import judgement
from onenet.exporters.exporter import exporter_of
from onenet.exporters.job import Job
from onenet.exporters.pipeline import export
from tests.conftest import enliven, smooth_images
from tests.export.faults import FORMATS
from tests.export.mutants import SIDE, TOYS, Trunk, tally
from tests.shared import few

NETS = ("depth", "two outputs", "classes")


class Hidden(Trunk):
    """A branch that hardly reaches the output."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.side = nn.Conv2d(16, 3, 1), nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.head(self.features(image)) + 0.002 * self.side(image).tanh()
        return result


def pictures() -> list[Array]:
    """In the 8 bits that a Core ML image holds."""
    return list(np.rint(smooth_images(12, 3, SIDE, SIDE) * 255).astype(np.float32) / np.float32(255))


@functools.cache
def quantized(name: str) -> QuantizedModel:
    """Calibrated once."""
    torch.manual_seed(0)
    net = Hidden() if name == "hidden" else TOYS[name]()
    enliven(net, torch.from_numpy(np.stack(pictures()[:6])))
    with quiet():
        return onenet.calibrate(onenet.lower(onenet.build(net.eval(), input_size=(SIDE, SIDE))), pictures()[:6])


@pytest.mark.parametrize(("name", "target"), few(itertools.product(NETS, FORMATS), 5))
def test_a_mutant_that_moves_the_outputs_fails(name: str, target: str, tmp_path: Path) -> None:
    found = tally(quantized(name), target, "int8", pictures()[6:], tmp_path)
    assert found.moved >= 6  # mutations that change nothing would prove nothing
    assert not found.missed
    assert found.unsealed == found.made


@pytest.mark.parametrize("target", FORMATS)
def test_a_wrong_layer_that_the_outputs_hardly_show_fails_the_export(
    target: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    exporter, evaluation = exporter_of(target), Samples.of_images("pictures", np.stack(pictures()[6:]))
    convert = exporter.convert
    layer = next(name for name in layers_of(quantized("hidden")) if name.startswith("conv2d"))

    def broken(job: Job, path: Path) -> None:
        convert(job, path)
        file = FORMATS[target](path)
        file.edit_weight((layer,), np.zeros_like)
        file.save()

    monkeypatch.setattr(exporter, "convert", broken)
    says = rf"failed its check of layers: {layer} \(module side\) has -?\d+\.\d dB on its own inputs and \d+\.\d\d int8 step"
    with pytest.raises(CheckError, match=says):
        export(quantized("hidden"), target=target, out=tmp_path, evaluation=evaluation)
    monkeypatch.setattr(judgement, "check_layers", lambda *_: [])
    found = export(quantized("hidden"), target=target, out=tmp_path, evaluation=evaluation).verification
    assert found is not None and found.passed


def layers_of(model: QuantizedModel) -> list[str]:
    """Its convolutions, that of the branch first."""
    from onenet.lowering.graph import layer_of

    nodes = [node for node in model.reference.graph.nodes if node.name.startswith("conv2d")]
    return [node.name for node in sorted(nodes, key=lambda node: layer_of(node) != "side")]
