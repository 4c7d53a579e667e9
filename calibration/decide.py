"""From what the samples showed to scales, and from scales to the int8 program: torchao's PT2E flow with onenet's scheme."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

from torch import Tensor
from torch.fx import GraphModule
from torchao.quantization.pt2e.quantize_pt2e import prepare_pt2e

from onenet.calibration.bias import Inputs, correct_biases, shift_biases
from onenet.calibration.estimators import ESTIMATORS, Range, int8_error
from onenet.calibration.histogram import Histogram
from onenet.calibration.limits import make_room_for_biases, widen_activations
from onenet.calibration.observe import Calibration, trace
from onenet.calibration.quantized import InFloat, QuantizedModel, converted
from onenet.calibration.recipe import W8, Recipe
from onenet.calibration.record import CalibrationRecord, ModelIdentity, Site, identified
from onenet.calibration.scheme import FixedRange, Int8Quantizer, observe_weights, origins, scales_of
from onenet.errors import RequestError
from onenet.lowering.graph import copied, name_of
from onenet.lowering.operators import DEQUANTIZE
from onenet.lowering.proof import outputs
from onenet.lowering.threads import in_order
from onenet.model import Model


def decide(calibration: Calibration, recipe: Recipe) -> QuantizedModel:
    """Choose every scale as a recipe says. The samples are not needed again, so many recipes can be tried."""
    prepared = prepare_pt2e(copied(calibration.program), Int8Quantizer(recipe))
    scales = scales_of(prepared)
    choose_ranges(prepared, scales, calibration, recipe)
    record = identified(
        CalibrationRecord(
            model=identity(calibration.model),
            recipe=recipe,
            samples=len(calibration.ids),
            sample_ids=tuple(sorted(calibration.ids)),
            sites={name: make_site(*scale, calibration, recipe) for name, scale in scales.items()},
        )
    )
    uncorrected = quantize(calibration.model, record, calibration.program)
    if not recipe.bias_correction:
        return uncorrected
    biases = correct_biases(calibration.means, uncorrected.reference, calibration.inputs)
    corrected = quantize(calibration.model, identified(replace(record, biases=biases)), calibration.program)
    return min(uncorrected, corrected, key=lambda each: output_error(calibration, each))


def output_error(calibration: Calibration, quantized: QuantizedModel) -> float:
    """Squared difference of the first output from the float network's, summed over the calibration's few inputs."""

    def error(pair: tuple[Tensor, Inputs]) -> float:
        expected, inputs = pair
        return float((expected - outputs(quantized.reference, inputs)[0].double()).square().sum())

    return sum(in_order(error, zip(calibration.expected, calibration.inputs, strict=True)))


def quantize_weights(model: Model) -> QuantizedModel:
    """int8 weights, float activations: needs no images."""
    return quantize(model, identified(CalibrationRecord(identity(model), W8)))


def quantize(model: Model, record: CalibrationRecord, traced: GraphModule | None = None) -> QuantizedModel:
    """The quantized program that a record describes; deterministic. ``traced``: the model's program, where there is one."""
    program = copied(traced) if traced else trace(model)
    shift_biases(program, record)
    quantizer = Int8Quantizer(record.recipe)
    prepared = prepare_pt2e(program, quantizer)
    for name, (observer, _) in scales_of(prepared).items():
        if name not in record.sites:
            raise RequestError(f"the calibration record has no range for {name}; calibrate this model anew")
        observer.set(record.sites[name].low, record.sites[name].high)
    observe_weights(prepared)
    make_room_for_biases(prepared)
    reference = converted(prepared, folded=True)
    kept = in_float(quantizer) if record.recipe.calibrated else ()
    return QuantizedModel(model, reference, prepared, record, output_scales(reference), kept)


def in_float(quantizer: Int8Quantizer) -> tuple[InFloat, ...]:
    """What a quantizer left in float, by operator and reason, the most frequent first."""
    kinds = Counter((name_of(node), why) for node, why in quantizer.kept.items())
    return tuple(InFloat(name, count, why) for (name, why), count in kinds.most_common())


# --- statistics to decisions ------------------------------------------------


Scales = dict[str, tuple[FixedRange, tuple[str, ...]]]
"""What ``scales_of`` returns."""


def choose_ranges(prepared: GraphModule, scales: Scales, calibration: Calibration, recipe: Recipe) -> None:
    """Let each observer hold the range that the recipe's estimator gives, as wide as kernels need it."""
    for observer, names in scales.values():
        observer.set(*ESTIMATORS[recipe.estimator](seen(names, calibration)))
    observe_weights(prepared)
    widen_activations(prepared)


def seen(names: tuple[str, ...], calibration: Calibration, halves: tuple[int, ...] = (0, 1)) -> Histogram:
    """The values of all tensors that share a scale."""
    nodes = {node.name: node for node in calibration.program.graph.nodes}
    return calibration.statistics.of(sorted(set().union(*(origins(nodes[name]) for name in names))), halves)


def make_site(observer: FixedRange, names: tuple[str, ...], calibration: Calibration, recipe: Recipe) -> Site:
    """What a record says of one scale, whose range is chosen."""
    scale, zero_point = (each.item() for each in observer.calculate_qparams())
    disagreeing = disagreement(ESTIMATORS[recipe.estimator], *(seen(names, calibration, (half,)) for half in (0, 1)))
    return Site(names, *observer.limits, scale, int(zero_point), seen(names, calibration).summary(), disagreeing)


def disagreement(estimate: Callable[[Histogram], Range], a: Histogram, b: Histogram) -> float | None:
    """Decibels that one half's values lose under the range that the other half gives; None where a half is empty."""
    if not (a.total and b.total):
        return None
    losses = []
    for half, range_of_the_other in ((a, estimate(b)), (b, estimate(a))):
        own, foreign = int8_error(half, estimate(half)), int8_error(half, range_of_the_other)
        losses.append(10 * math.log10(foreign / own) if own > 0 < foreign else 0.0)
    return max(0.0, *losses)


def identity(model: Model) -> ModelIdentity:
    """What a record must agree with to be used for a model."""
    shapes = {tensor.name: tensor.shape for tensor in model.spec.inputs}
    return ModelIdentity(model.spec.name, shapes, model.spec.source.get("weights_sha256"))


def check_model(record: CalibrationRecord, model: Model) -> None:
    """Refuse a record of another model.

    Raises:
        RequestError: names what differs.
    """
    for what, held, own in differences(record.model, identity(model)):
        raise RequestError(f"the calibration record belongs to a model with {what} {held}, this one has {own}")


def differences(held: ModelIdentity, own: ModelIdentity) -> Iterator[tuple[str, str, str]]:
    """What two models differ in, and both values as text."""
    if held.name != own.name:
        yield "name", held.name, own.name
    if held.inputs.keys() != own.inputs.keys():
        yield "inputs", ", ".join(held.inputs), ", ".join(own.inputs)
    for name in (name for name in own.inputs if own.inputs[name] != held.inputs.get(name)):
        yield f"input {name}", str(list(held.inputs[name])), str(list(own.inputs[name]))
    if held.weights_sha256 != own.weights_sha256:
        yield "weights_sha256", str(held.weights_sha256)[:24], str(own.weights_sha256)[:24]


def output_scales(reference: GraphModule) -> tuple[tuple[float, int] | None, ...]:
    """Scale and zero point of the dequantize operator behind each output."""
    (results,) = next(node for node in reference.graph.nodes if node.op == "output").args
    results = results if isinstance(results, (tuple, list)) else [results]
    return tuple((float(each.args[1]), int(each.args[2])) if each.target is DEQUANTIZE else None for each in results)
