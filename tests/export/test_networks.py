"""Twelve public architectures, written anew in tests/networks, as artifacts: each in one pair of target and precision.

So each of the six pairs is seen with two networks, the large ones where they convert quickly. All pairs of all networks take
minutes: ``python -m bench.zoo`` does that.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import onenet
from bench.zoo import networks
from bench.zoo.cell import stretched
from bench.zoo.networks import NETWORKS
from onenet.base.metrics import sqnr_db
from onenet.base.quiet import quiet
from onenet.calibration.quantized import QuantizedModel
from onenet.calibration.samples import default_calibration, load_samples
from onenet.model import Model
from onenet.runtimes.artifact import open_artifact
from onenet.runtimes.values import INT8_MARGIN_DB, TOLERANCES
from onenet.targets import suffixes
from tests.export.written import Floats, as_arrays
from tests.shared import few

SIDE = 64
SIDES = {"yolo": 128}
"""Of networks whose grid of anchors is made for one size."""
PAIRS = {
    "bisenetv2": ("tflite", "fp32"),
    "enet": ("onnx", "fp32"),
    "espcn": ("tflite", "int8"),
    "fast_scnn": ("coreml", "fp32"),
    "ffnet": ("onnx", "int8"),
    "nnunet": ("coreml", "int8"),
    "pidnet": ("tflite", "fp32"),
    "pix2pix": ("onnx", "fp32"),
    "srvgg": ("onnx", "int8"),
    "u2netp": ("coreml", "fp32"),
    "unet": ("tflite", "int8"),
    "yolo": ("coreml", "int8"),
}


def side_of(name: str) -> int:
    return SIDES.get(name, SIDE)


@functools.cache
def pictures(side: int) -> list[Floats]:
    """The first is looked at, all settle a network, and some of the others calibrate it."""
    return [stretched(each) for each in load_samples(default_calibration(), side, side, limit=9).arrays]


@functools.cache
def module_of(name: str) -> nn.Module:
    module = networks.build(NETWORKS[name])
    networks.settle(module, torch.from_numpy(np.stack(pictures(side_of(name)))))
    return module


@functools.cache
def lowered(name: str) -> Model:
    with quiet():
        return onenet.lower(onenet.build(module_of(name), input_size=(side_of(name),) * 2))


@functools.cache
def quantized(name: str) -> QuantizedModel:
    with quiet():
        return onenet.calibrate(lowered(name), pictures(side_of(name))[1:5])


@torch.no_grad()
def outputs_of(module: nn.Module, picture: Floats) -> list[Floats]:
    return as_arrays(module(torch.from_numpy(picture)))


@pytest.mark.parametrize(("name", "target", "precision"), few([(name, *pair) for name, pair in PAIRS.items()], 5))
def test_an_artifact_computes_the_network(name: str, target: str, precision: str, tmp_path: Path) -> None:
    picture = pictures(side_of(name))[0][None]
    source = quantized(name) if precision == "int8" else lowered(name)
    with quiet():
        made = onenet.export(source, target=target, precision=precision, out=tmp_path)  # type: ignore[operator]
    assert made.checked != "no"
    artifact = open_artifact(made.path)
    if artifact.session.may_saturate:
        artifact = open_artifact(made.path, exact_int8=True)
    found = artifact.run({artifact.inputs[0].name: picture})
    truths = outputs_of(module_of(name), picture)
    simulated = outputs_of(quantized(name).reference, picture) if precision == "int8" else truths
    for spec, truth, own in zip(artifact.outputs, truths, simulated, strict=True):
        assert truth.std() > 0  # a constant would prove nothing
        # ``export`` has held it to the artifact's own limits; here it is enough that it is this network.
        least = sqnr_db(truth, own) - INT8_MARGIN_DB if precision == "int8" else TOLERANCES["fp16"].sqnr_db
        assert least is not None
        assert sqnr_db(truth, found[spec.name]) >= least


def test_every_network_that_we_wrote_is_here_and_every_pair_twice() -> None:
    assert sorted(PAIRS) == sorted(name for name, each in NETWORKS.items() if each.origin.startswith("written anew"))
    pairs = [(target, precision) for target in suffixes() for precision in ("fp32", "int8")]
    assert sorted(PAIRS.values()) == sorted(2 * pairs)
