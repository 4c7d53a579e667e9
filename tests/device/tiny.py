"""One small network in the formats that devices run, exported once per test run."""

from __future__ import annotations

import atexit
import functools
import tempfile
from pathlib import Path

import onenet
from onenet.base.quiet import quiet
from onenet.calibration.quantized import QuantizedModel
from onenet.model import Model
from tests.conftest import awkward_onenet, smooth_images

SIDE = 32


@functools.cache
def folder() -> Path:
    scratch = tempfile.TemporaryDirectory(prefix="onenet-tiny-")
    atexit.register(scratch.cleanup)
    return Path(scratch.name)


@functools.cache
def lowered() -> Model:
    with quiet():
        return onenet.lower(onenet.build(awkward_onenet("ed", width=8), input_size=(SIDE, SIDE)))


@functools.cache
def quantized() -> QuantizedModel:
    with quiet():
        return onenet.calibrate(lowered(), list(smooth_images(4, 3, SIDE, SIDE)))


@functools.cache
def artifact(target: str, precision: str, io: str = "float") -> Path:
    """A verified artifact of some 0.5 MMAC."""
    source = quantized() if precision == "int8" else lowered()
    with quiet():
        made = onenet.export(source, target=target, precision=precision, io=io, out=folder())  # type: ignore[operator]
    return Path(made.path)
