"""One calibration for every target: torchao's PT2E flow with onenet's scheme."""

from __future__ import annotations

import copy
import hashlib
import json
import warnings
from collections.abc import Callable, Sequence
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
from onenet.model import Model, QuantizedModel

ESTIMATOR = "min-max"
"""Order-independent and free of parameters; the record names it so that a later estimator can be told apart."""


def calibrate(
    model: Model, samples: Samples | Sequence[NDArray[np.float32]], progress: Callable[[int], None] | None = None
) -> QuantizedModel:
    """Run the samples through the deploy form and fix every int8 scale.

    Args:
        model: the lowered model, one image input.
        samples: images (3, H, W), float32 in [0, 1].
        progress: called with 1 after each sample.

    Raises:
        RequestError: no samples, samples of another shape, type or range than the model's input, or more than one input.
    """
    images = stacked(model, samples.arrays if isinstance(samples, Samples) else samples)
    expected = model.spec.inputs[0].shape
    prepared = prepare_pt2e(trace(model), Int8Quantizer())
    with torch.no_grad():
        for image in images:
            prepared(torch.from_numpy(np.ascontiguousarray(image))[None].expand(expected))
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
    low, high = image.value_range or (-np.inf, np.inf)
    for each in samples:
        if each.shape != image.shape[1:] or each.dtype.kind != "f":
            found = f"{each.dtype} {each.shape}"
            raise RequestError(f"calibration samples are {found}, the model takes floats {image.shape[1:]}")
        if not (each.min() >= low and each.max() <= high):  # also true of NaN
            raise RequestError(f"a calibration sample goes from {each.min():g} to {each.max():g}; expected {low:g} to {high:g}")
    return np.stack(list(samples)).astype(np.float32, copy=False)


def copied(module: GraphModule) -> GraphModule:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch 2.13 warns of its own LeafSpec when a graph is copied
        return copy.deepcopy(module)


def trace(model: Model) -> GraphModule:
    """The training-level ATen graph that PT2E annotates."""
    program = torch.export.export(model.module, model.example(), strict=False)
    return program.module(check_guards=False)


def record_of(reference: GraphModule, ids: tuple[str, ...]) -> CalibrationRecord:
    quantize = torch.ops.quantized_decomposed.quantize_per_tensor.default
    sites: dict[str, dict[str, float]] = {}
    for node in reference.graph.nodes:
        if node.target is quantize:
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
    dequantize = torch.ops.quantized_decomposed.dequantize_per_tensor.default
    (results,) = next(node for node in reference.graph.nodes if node.op == "output").args
    results = results if isinstance(results, (tuple, list)) else [results]
    return tuple((float(each.args[1]), int(each.args[2])) if each.target is dequantize else None for each in results)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
