"""Networks of very small weights and values, in each target's file: as good through its runtime as in the simulation."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch import nn

import onenet
from onenet.base.metrics import sqnr_db
from onenet.base.quiet import quiet
from onenet.calibration.decide import quantize_weights
from onenet.calibration.outputs import float_outputs
from onenet.calibration.quantized import QuantizedModel
from onenet.models.build import build
from onenet.runtimes.artifact import open_artifact
from onenet.targets import suffixes
from tests.conftest import smooth_images
from tests.shared import few
from tests.unit.calibration.scaled import FORMS, HARD, SIZE

IMAGES = smooth_images(4, 3, *SIZE)
MARGIN_DB = 1.0
"""Kernels round in their own way."""
NETS: dict[str, Callable[[], nn.Module]] = {
    **{name: functools.partial(form, 1e-4) for name, form in FORMS.items()},
    **HARD,
}


@functools.cache
def quantized(name: str) -> QuantizedModel:
    with quiet():
        return onenet.calibrate(onenet.lower(build(NETS[name]().eval(), input_size=SIZE)), list(IMAGES))


@pytest.mark.parametrize(("name", "target", "precision"), few(itertools.product(NETS, suffixes(), ("int8", "w8")), 7))
def test_a_file_is_as_good_as_the_simulation(name: str, target: str, precision: str, tmp_path: Path) -> None:
    model = quantized(name)
    reference = (model if precision == "int8" else quantize_weights(model.model)).reference
    with quiet():
        source = model if precision == "int8" else model.model
        path = onenet.export(source, target=target, precision=precision, out=tmp_path, verify=False).path
    artifact = open_artifact(path, exact_int8=True)
    output = artifact.outputs[0].name
    found = np.concatenate([artifact.run({artifact.inputs[0].name: each[None]})[output] for each in IMAGES])
    expected, simulated = float_outputs(model.model, IMAGES), float_outputs(model.model, IMAGES, reference)
    assert np.isfinite(found).all()
    assert sqnr_db(expected, found) >= sqnr_db(expected, simulated) - MARGIN_DB
