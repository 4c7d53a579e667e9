"""One calibration for every target: torchao's PT2E flow with onenet's scheme."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.fx import GraphModule
from torchao.quantization.pt2e import allow_exported_model_train_eval
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from onenet.calibration.images import PREPROCESSING, Samples
from onenet.calibration.scheme import CalibrationRecord, Int8Quantizer
from onenet.errors import RequestError
from onenet.lowering.graph import DEQUANTIZE, QUANTIZE, copied
from onenet.model import Model, QuantizedModel
from onenet.runtimes.tiles import make_grid

ESTIMATOR = "min-max"
"""Order-independent and free of parameters; the record names it so that a later estimator can be told apart."""


def calibrate(
    model: Model, samples: Samples | Sequence[NDArray[np.float32]], progress: Callable[[int], None] | None = None
) -> QuantizedModel:
    """Run the samples through the deploy form and fix every int8 scale.

    Args:
        model: the lowered model, one image input.
        samples: images (3, H, W), float32 in [0, 1]. A model for tiles takes whole images, of ``model.image_size``, and is
            calibrated on the tiles that they will be cut into.
        progress: called with 1 after each sample.

    Raises:
        RequestError: no samples, samples of another shape, type or range than the model's input, or more than one input.
    """
    images = stacked(model, samples.arrays if isinstance(samples, Samples) else samples)
    expected = model.spec.inputs[0].shape
    prepared = prepare_pt2e(trace(model), Int8Quantizer())
    with torch.no_grad():
        for image in images:
            for piece in pieces(model, image):
                prepared(torch.from_numpy(np.ascontiguousarray(piece))[None].expand(expected))
            if progress:
                progress(1)
    open_form = convert_pt2e(copied(prepared), fold_quantize=False)
    reference = convert_pt2e(prepared, fold_quantize=True)
    for module in (open_form, reference):
        allow_exported_model_train_eval(module)
    ids = samples.ids if isinstance(samples, Samples) else tuple(sha256(image.tobytes()) for image in images)
    return QuantizedModel(model, reference, open_form, record_of(reference, ids))


def stacked(model: Model, samples: Sequence[NDArray[np.float32]] | NDArray[np.float32]) -> NDArray[np.float32]:
    """(samples, C, H, W) float32, each looked at: one bad sample would spoil every scale."""
    image, *others = model.spec.inputs
    if others:
        raise RequestError(f"calibration feeds one input, {model.spec.name} takes {1 + len(others)}")
    if len(samples) == 0:
        raise RequestError("calibration needs at least one sample, found none; give --calibration DIR or FILE.npz")
    shapes = [image.shape[1:], (*image.shape[1:2], *model.image_size)] if len(image.shape) == 4 else [image.shape[1:]]
    low, high = image.value_range or (-np.inf, np.inf)
    for each in samples:
        if each.shape not in shapes or each.shape != samples[0].shape or each.dtype.kind != "f":
            found = f"{each.dtype} {each.shape}"
            raise RequestError(f"calibration samples are {found}, the model takes floats {shapes[-1]}")
        if not (each.min() >= low and each.max() <= high):  # also true of NaN
            raise RequestError(f"a calibration sample goes from {each.min():g} to {each.max():g}; expected {low:g} to {high:g}")
    return np.stack(list(samples)).astype(np.float32, copy=False)


def pieces(model: Model, image: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """The tiles (C, h, w) of a whole image (C, H, W); the image itself where the model takes it as it is."""
    expected = model.spec.inputs[0].shape
    if image.shape == expected[1:]:
        yield image
        return
    _, _, height, width = expected
    grid = make_grid(model.image_size, (height, width), model.tiling)
    for place in grid:
        yield grid.cut(image.transpose(1, 2, 0), *place).transpose(2, 0, 1)


def trace(model: Model) -> GraphModule:
    """The training-level ATen graph that PT2E annotates."""
    program = torch.export.export(model.module, model.example(), strict=False)
    return program.module(check_guards=False)


def record_of(reference: GraphModule, ids: tuple[str, ...]) -> CalibrationRecord:
    sites: dict[str, dict[str, float]] = {}
    for node in reference.graph.nodes:
        if node.target is QUANTIZE:
            source, scale, zero_point, *_ = node.args
            sites[str(source)] = {"scale": float(scale), "zero_point": int(zero_point)}
    content: dict[str, Any] = {
        "ids": sorted(ids),
        "preprocessing": PREPROCESSING,
        "estimator": ESTIMATOR,
        "sites": sites,
    }
    identity = sha256(json.dumps(content, sort_keys=True).encode())[:16]
    return CalibrationRecord(identity, len(ids), ids, PREPROCESSING, ESTIMATOR, sites, output_scales(reference))


def output_scales(reference: GraphModule) -> tuple[tuple[float, int] | None, ...]:
    """Scale and zero point of the dequantize operator behind each output."""
    (results,) = next(node for node in reference.graph.nodes if node.op == "output").args
    results = results if isinstance(results, (tuple, list)) else [results]
    return tuple((float(each.args[1]), int(each.args[2])) if each.target is DEQUANTIZE else None for each in results)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
