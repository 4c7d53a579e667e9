"""One calibration for every target: torchao's PT2E flow with onenet's scheme.

    samples --observe--> statistics --estimator--> ranges --> record --quantize--> int8 program

The record holds every decision, so that a second export from it needs no images and gives the same bytes.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.fx import GraphModule
from torchao.quantization.pt2e import allow_exported_model_train_eval
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from onenet.base.images import PREPROCESSING
from onenet.base.tiles import make_grid
from onenet.calibration.bias import correct_biases, run_with_means, shift_biases
from onenet.calibration.estimators import ESTIMATORS, Range, int8_error
from onenet.calibration.histogram import Histogram
from onenet.calibration.observe import HALVES, Observer, Statistics
from onenet.calibration.quantized import QuantizedModel
from onenet.calibration.recipe import INT8, W8, Recipe
from onenet.calibration.record import CalibrationRecord, Site, make_record
from onenet.calibration.samples import Sample, sha256
from onenet.calibration.scheme import FixedRange, Int8Quantizer, observe_weights, observed_tensors, origins, scales_of
from onenet.errors import RequestError
from onenet.lowering.graph import copied
from onenet.lowering.operators import DEQUANTIZE
from onenet.lowering.proof import outputs
from onenet.model import Model

CORRECTION_INPUTS = 8
"""Inputs, those with the smallest SHA-256, on which biases are corrected: their activations are held in memory together."""


def calibrate(
    model: Model,
    samples: Iterable[Sample | NDArray[np.float32]] | CalibrationRecord,
    progress: Callable[[int], None] | None = None,
    *,
    recipe: Recipe = INT8,
) -> QuantizedModel:
    """Run the samples through the deploy form and fix every scale; or take the scales from a record.

    Args:
        model: the lowered model, one image input.
        samples: images (C, H, W), float in [0, 1], as arrays or as ``Sample``; each is looked at once and let go, so a
            generator of any length serves. A model for tiles takes whole images, of ``model.image_size``, and is calibrated
            on the tiles that they will be cut into. Or what an earlier calibration of the same model recorded.
        progress: called with 1 after each sample.
        recipe: what is quantized and how. A record brings its own.

    Raises:
        RequestError: no samples; samples of another shape, type or range than the model's input; more than one input; a
            record of another model.
    """
    if isinstance(samples, CalibrationRecord):
        check_model(samples, model)
        return quantize(model, samples)
    return decide(observe(model, samples, progress), recipe)


def decide(calibration: Calibration, recipe: Recipe) -> QuantizedModel:
    """Choose every scale as a recipe says. The samples are not needed again, so many recipes can be tried."""
    prepared = prepare_pt2e(copied(calibration.program), Int8Quantizer(recipe))
    content: dict[str, Any] = dict(
        model=identity(calibration.model),
        recipe=recipe,
        samples=len(calibration.ids),
        sample_ids=tuple(sorted(calibration.ids)),
        preprocessing=PREPROCESSING,
        sites={name: make_site(*scale, calibration, recipe) for name, scale in scales_of(prepared).items()},
    )
    uncorrected = quantize(calibration.model, make_record(**content))
    if not recipe.bias_correction:
        return uncorrected
    biases = correct_biases(calibration.means, uncorrected.reference, calibration.inputs)
    corrected = quantize(calibration.model, make_record(**content, biases=biases))
    return min(uncorrected, corrected, key=lambda each: output_error(calibration, each))


def output_error(calibration: Calibration, quantized: QuantizedModel) -> float:
    """Squared difference of the first output from the float network's, summed over the calibration's few inputs."""
    found = (outputs(quantized.reference, [each])[0].double() for each in calibration.inputs)
    return sum(float((a - b).square().sum()) for a, b in zip(calibration.expected, found, strict=True))


def quantize_weights(model: Model) -> QuantizedModel:
    """int8 weights, float activations: needs no images."""
    return quantize(model, make_record(model=identity(model), recipe=W8, samples=0, sample_ids=(), preprocessing=PREPROCESSING))


def quantize(model: Model, record: CalibrationRecord) -> QuantizedModel:
    """The quantized program that a record describes; deterministic."""
    program = trace(model)
    shift_biases(program, record)
    prepared = prepare_pt2e(program, Int8Quantizer(record.recipe))
    for name, (observer, _) in scales_of(prepared).items():
        if name not in record.sites:
            raise RequestError(f"the calibration record has no range for {name}; calibrate this model anew")
        observer.set(record.sites[name].low, record.sites[name].high)
    observe_weights(prepared)
    open_form = convert_pt2e(copied(prepared), fold_quantize=False)
    reference = convert_pt2e(prepared, fold_quantize=True)
    for module in (open_form, reference):
        allow_exported_model_train_eval(module)
    return QuantizedModel(model, reference, open_form, record, output_scales(reference))


def trace(model: Model) -> GraphModule:
    """The training-level ATen graph that PT2E annotates."""
    program = torch.export.export(model.module, model.example(), strict=False)
    return program.module(check_guards=False)


# --- samples to statistics --------------------------------------------------


@dataclass(frozen=True)
class Calibration:
    """What the samples showed."""

    model: Model
    program: GraphModule
    """The float network."""
    statistics: Statistics
    ids: tuple[str, ...]
    inputs: list[torch.Tensor]
    """A few complete inputs (N, C, H, W), on which biases are corrected."""

    @functools.cached_property
    def run(self) -> tuple[list[Any], dict[str, torch.Tensor]]:
        return run_with_means(self.program, self.inputs)

    @property
    def expected(self) -> list[torch.Tensor]:
        """The float network's first output for each of ``inputs``, in float64."""
        return [(each[0] if isinstance(each, (tuple, list)) else each).double() for each in self.run[0]]

    @property
    def means(self) -> dict[str, torch.Tensor]:
        """The float network's mean of each channel of each layer over ``inputs``."""
        return self.run[1]


def observe(
    model: Model, samples: Iterable[Sample | NDArray[np.float32]], progress: Callable[[int], None] | None = None
) -> Calibration:
    """Statistics of every tensor that a recipe could quantize. Arguments and errors as in ``calibrate``."""
    program = trace(model)
    prepared = prepare_pt2e(copied(program), Int8Quantizer(INT8))
    nodes = {node.name: node for node in program.graph.nodes}
    statistics = Statistics(set().union(*(origins(nodes[name]) for name in observed_tensors(prepared))))
    observer = Observer(program, statistics)
    expected = model.spec.inputs[0].shape
    ids: list[str] = []
    kept = Smallest(CORRECTION_INPUTS)
    for sample in checked(model, samples):
        half = int(sha256(sample.id.encode()), 16) % HALVES
        for piece in pieces(model, sample.array):
            batch = torch.from_numpy(np.array(np.broadcast_to(piece, expected)))
            observer.observe(batch, half)
            kept.offer(sha256(piece.tobytes()), batch)
        ids.append(sample.id)
        if progress:
            progress(1)
    if not ids:
        raise RequestError("calibration needs at least one sample, found none; give --calibration DIR or FILE.npz")
    return Calibration(model, program, statistics, tuple(ids), kept.values())


class Smallest:
    """The few values with the smallest keys of a stream, whatever its order."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.held: dict[str, torch.Tensor] = {}

    def offer(self, key: str, value: torch.Tensor) -> None:
        self.held[key] = value
        if len(self.held) > self.count:
            del self.held[max(self.held)]

    def values(self) -> list[torch.Tensor]:
        return [self.held[key] for key in sorted(self.held)]


def checked(model: Model, samples: Iterable[Sample | NDArray[np.float32]]) -> Iterator[Sample]:
    """Each sample in float32, looked at: one bad sample would spoil every scale."""
    image, *others = model.spec.inputs
    if others:
        raise RequestError(f"calibration feeds one input, {model.spec.name} takes {1 + len(others)}")
    shapes = [image.shape[1:], (*image.shape[1:2], *model.image_size)] if len(image.shape) == 4 else [image.shape[1:]]
    low, high = image.value_range or (-np.inf, np.inf)
    first: tuple[int, ...] | None = None
    for sample in samples:
        array = sample.array if isinstance(sample, Sample) else np.asarray(sample)
        first = first or array.shape
        if array.shape not in shapes or array.shape != first or array.dtype.kind != "f":
            found = f"{array.dtype} {array.shape}"
            raise RequestError(f"calibration samples are {found}, the model takes floats {shapes[-1]}")
        if not (array.min() >= low and array.max() <= high):  # also true of NaN
            found = f"from {array.min():g} to {array.max():g}"
            raise RequestError(f"a calibration sample goes {found}; expected {low:g} to {high:g}")
        array = array.astype(np.float32, copy=False)
        yield replace(sample, array=array) if isinstance(sample, Sample) else Sample(array, sha256(array.tobytes()), "")


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


# --- statistics to decisions ------------------------------------------------


def make_site(observer: FixedRange, names: tuple[str, ...], calibration: Calibration, recipe: Recipe) -> Site:
    """One scale from the values of all tensors that share it."""
    nodes = {node.name: node for node in calibration.program.graph.nodes}
    sources = sorted(set().union(*(origins(nodes[name]) for name in names)))
    estimate = ESTIMATORS[recipe.estimator]
    whole, *halves = (calibration.statistics.of(sources, part) for part in ((0, 1), (0,), (1,)))
    low, high = estimate(whole)
    observer.set(low, high)
    scale, zero_point = (each.item() for each in observer.calculate_qparams())
    return Site(names, low, high, scale, int(zero_point), whole.summary(), disagreement(estimate, *halves))


def disagreement(estimate: Callable[[Histogram], Range], a: Histogram, b: Histogram) -> float | None:
    """Decibels that one half's values lose under the range that the other half gives; None where a half is empty."""
    if not (a.total and b.total):
        return None
    losses = []
    for half, range_of_the_other in ((a, estimate(b)), (b, estimate(a))):
        own, foreign = int8_error(half, estimate(half)), int8_error(half, range_of_the_other)
        losses.append(10 * math.log10(foreign / own) if own > 0 < foreign else 0.0)
    return max(0.0, *losses)


def identity(model: Model) -> dict[str, Any]:
    """What a record must agree with to be used for a model."""
    return {
        "name": model.spec.name,
        "input": list(model.spec.inputs[0].shape),
        "weights_sha256": model.spec.source.get("weights_sha256"),
    }


def check_model(record: CalibrationRecord, model: Model) -> None:
    """Refuse a record of another model.

    Raises:
        RequestError: names what differs.
    """
    own = identity(model)
    for key, value in own.items():
        if record.model.get(key) != value:
            found, given = (str(each)[:24] for each in (record.model.get(key), value))
            raise RequestError(f"the calibration record belongs to a model with {key} {found}, this one has {given}")


def output_scales(reference: GraphModule) -> tuple[tuple[float, int] | None, ...]:
    """Scale and zero point of the dequantize operator behind each output."""
    (results,) = next(node for node in reference.graph.nodes if node.op == "output").args
    results = results if isinstance(results, (tuple, list)) else [results]
    return tuple((float(each.args[1]), int(each.args[2])) if each.target is DEQUANTIZE else None for each in results)
