"""Small networks of one operator each, written as ONNX and run: what a file must be as near to as what it was made from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import onenet
from onenet.base.metrics import sqnr_db
from onenet.base.quiet import quiet
from onenet.calibration.decide import quantize_weights
from onenet.exporters.job import as_list
from onenet.models.build import build
from onenet.runtimes.artifact import open_artifact
from onenet.runtimes.values import INT8_MARGIN_DB, TOLERANCES
from tests.conftest import smooth_images

SIZE = (20, 28)
LEAST_DB = 20.0
"""A calibrated program that is farther from the float network has lost what the operator computes."""

Floats = NDArray[np.float32]


class Behind(nn.Module):
    """An operator behind one convolution, on values of both signs; another convolution behind it where they fit together."""

    def __init__(self, operator: Callable[[Behind, Tensor], object]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 1)
        self.operator = operator
        self.place = nn.Parameter(torch.randn(1, 8, *SIZE) * 0.3)
        self.register_buffer("off", torch.tensor([0.0, 0, float("-inf"), 0, float("-inf"), 0, 0, 0]).reshape(1, 8, 1, 1))
        self.register_buffer("levels", torch.linspace(-1, 2, 8).reshape(1, 8, 1, 1))

    def forward(self, x: Tensor) -> object:
        return self.operator(self, self.first(x))


def check(network: nn.Module, precision: str, folder: Path, *, io: str = "float") -> onnx.ModelProto:
    """Export, run in onnxruntime, and compare every output; the model that was written.

    Raises:
        AssertionError: an output is not as near to the float network as the precision allows.
    """
    pictures = smooth_images(6, 3, *SIZE)
    picture = pictures[:1]
    with quiet():
        model = onenet.lower(build(network.eval(), input_size=SIZE))
        source = onenet.calibrate(model, list(pictures)) if precision == "int8" else model
        made = onenet.export(source, target="onnx", precision=precision, io=io, out=folder, verify=False)
        artifact = open_artifact(made.path)
        if artifact.session.may_saturate:
            artifact = open_artifact(made.path, exact_int8=True)
        found = artifact.run({"image": picture})
        with torch.no_grad():
            expected = [each.numpy() for each in as_list(network(torch.from_numpy(picture)))]
            simulated = simulation(source, precision)(torch.from_numpy(picture)) if precision in ("int8", "w8") else expected
    assert len(found) == len(expected)
    for spec, truth, own in zip(artifact.outputs, expected, as_arrays(simulated), strict=True):
        compare(precision, truth, own, found[spec.name])
    return onnx.load(made.path)


def simulation(source: object, precision: str) -> Callable[[Tensor], object]:
    """The program that an int8 or w8 artifact is made from."""
    quantized = source if precision == "int8" else quantize_weights(source)  # type: ignore[arg-type]  # a model then
    return quantized.reference  # type: ignore[attr-defined,no-any-return]


def as_arrays(results: object) -> list[Floats]:
    """The outputs of a module, or arrays that are some already."""
    listed = as_list(results) if isinstance(results, Tensor) else list(results)  # type: ignore[call-overload]
    return [each.detach().numpy() if isinstance(each, Tensor) else each for each in listed]


def compare(precision: str, truth: Floats, simulated: Floats, found: Floats) -> None:
    """
    Raises:
        AssertionError: says how far it is.
    """
    assert found.shape == truth.shape
    if precision == "int8":
        assert sqnr_db(truth, simulated) >= LEAST_DB
        assert sqnr_db(truth, found) >= sqnr_db(truth, simulated) - INT8_MARGIN_DB
        return
    tolerance = TOLERANCES[precision]
    if tolerance.relative is not None:
        largest = max(float(np.abs(simulated).max()), float(np.finfo(np.float32).tiny))
        assert float(np.abs(found - simulated).max()) / largest <= tolerance.relative
    else:
        assert tolerance.sqnr_db is not None and sqnr_db(truth, found) >= tolerance.sqnr_db
