"""From what the samples showed to scales, and from scales to the int8 program: torchao's PT2E flow with onenet's scheme."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from torch._ops import OpOverload
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e.quantize_pt2e import prepare_pt2e

from onenet.calibration.bias import averaged, correct_biases, shift_biases
from onenet.calibration.estimators import AUTO, STEPS, int8_error
from onenet.calibration.limits import make_room_for_biases, widen_activations
from onenet.calibration.nearness import error_of
from onenet.calibration.observe import Calibration, trace
from onenet.calibration.quantized import InFloat, QuantizedModel, converted
from onenet.calibration.recipe import W8, Recipe
from onenet.calibration.record import CalibrationRecord, ModelIdentity, Site, identified
from onenet.calibration.scheme import FixedRange, Int8Quantizer, observe_weights, origins, producers_of, scales_of
from onenet.errors import RequestError
from onenet.lowering.graph import copied, name_of, target_of
from onenet.lowering.operators import DEQUANTIZE, FIXED_SCALE, GATES, PICKS, aten
from onenet.lowering.proof import outputs
from onenet.lowering.threads import in_order
from onenet.model import Model

WIDEST_FIRST = ("min-max", "mse")
"""What ``auto`` tries."""
WORTH = 10 ** (2.0 / 10)
"""Noise that wider ranges may add to the outputs: 2 dB, a third of what one bit of int8 is. A U-Net lost 3 dB by ``mse`` on
images of another kind, which had won 1.4 dB on its calibration images. The shipped networks win 3.5 and 3.7 dB there, about 3
and 1.7 on other images. The margin was chosen with these figures and those of eight public networks in view."""

MUCH_TOO_WIDE = 1.25
"""How much wider the fixed scale of an output's operator may be than the range of its values: 2 dB."""
MOST_SHARED = 4.0
"""How much wider the scale of a concatenation may be than that of a part of it which is read elsewhere too: two bits."""


def decide(calibration: Calibration, recipe: Recipe) -> QuantizedModel:
    """Choose every scale as a recipe says. The samples are not needed again, so many recipes can be tried.

    Where the recipe leaves the estimator open, the widest ranges are taken whose outputs are nearly as good as the best:
    samples never hold all that a network will see, and their own outputs flatter ranges that are cut to them.
    """
    trials = [attempt(calibration, replace(recipe, estimator=name)) for name in estimators_of(recipe)]
    best = min(each.error for each in trials)
    return corrected(calibration, next(each for each in trials if each.error <= best * WORTH))


def estimators_of(recipe: Recipe) -> tuple[str, ...]:
    """What to try, widest ranges first; without ranges there is nothing to choose."""
    if recipe.estimator != AUTO:
        return (recipe.estimator,)
    return WIDEST_FIRST if recipe.calibrated else WIDEST_FIRST[-1:]


@dataclass(frozen=True)
class Attempt:
    """A recipe tried on the calibration's few inputs."""

    quantized: QuantizedModel
    """Biases as they were."""
    biases: dict[str, str]
    """Corrections, where they make the error smaller, and that of inputs that had no part in them, too."""
    error: float
    """Of the outputs, with these corrections."""


def attempt(calibration: Calibration, recipe: Recipe) -> Attempt:
    """Ranges as the recipe's estimator gives them, and what correcting the biases makes of them.

    Corrections that will not stay have no part in the choice of ranges: MobileNetV3 lost 1.1 dB by that.
    """
    plain = quantize(calibration.model, ranges_by(calibration, recipe), calibration.program)
    error = output_error(calibration, plain)
    if recipe.bias_correction:
        found = correct_biases(calibration.means, plain.reference, calibration.inputs)
        less = error_of(calibration.expected, found.outputs)
        if less < error and generalizes(calibration, plain):
            return Attempt(plain, found.biases, less)
    return Attempt(plain, {}, error)


def corrected(calibration: Calibration, trial: Attempt) -> QuantizedModel:
    """The network of an attempt, with its corrections."""
    if not trial.biases:
        return trial.quantized
    record = identified(replace(trial.quantized.record, biases=trial.biases))
    return quantize(calibration.model, record, calibration.program)


def generalizes(calibration: Calibration, plain: QuantizedModel) -> bool:
    """Whether biases corrected on one half of the inputs help with the other half, either way round.

    True where all inputs are of one half: nothing can be asked then.
    """
    halves = sorted(set(calibration.halves))
    return len(halves) == 1 or all(helps_others(calibration, plain, half) for half in halves)


def helps_others(calibration: Calibration, plain: QuantizedModel, half: int) -> bool:
    """Whether biases corrected on one half of the inputs bring the outputs for the other half nearer."""
    runs = list(zip(calibration.inputs, calibration.run, calibration.halves, strict=True))
    own = [inputs for inputs, _, place in runs if place == half]
    others = [inputs for inputs, _, place in runs if place != half]
    expected = [results for _, (results, _), place in runs if place != half]
    wanted = averaged([means for _, (_, means), place in runs if place == half])
    after = correct_biases(wanted, plain.reference, own, others).outputs[len(own) :]
    before = in_order(functools.partial(outputs, plain.reference), others)
    return error_of(expected, after) < error_of(expected, before)


def ranges_by(calibration: Calibration, recipe: Recipe) -> CalibrationRecord:
    """The record of what a recipe's estimator makes of the samples."""
    apart = too_narrow(calibration, recipe)
    while True:
        prepared = prepare_pt2e(copied(calibration.program), Int8Quantizer(recipe, apart))
        scales = scales_of(prepared)
        choose_ranges(prepared, scales, calibration, recipe)
        more = too_small(calibration, recipe, scales)
        if more <= apart:
            break
        apart |= more
    return identified(
        CalibrationRecord(
            model=identity(calibration.model),
            recipe=recipe,
            samples=len(calibration.ids),
            sample_ids=tuple(sorted(calibration.ids)),
            sites={name: make_site(*scale, calibration, recipe) for name, scale in scales.items()},
        )
    )


def output_error(calibration: Calibration, quantized: QuantizedModel) -> float:
    """``error_of`` the outputs for the calibration's few inputs."""
    return error_of(calibration.expected, in_order(functools.partial(outputs, quantized.reference), calibration.inputs))


def quantize_weights(model: Model) -> QuantizedModel:
    """int8 weights, float activations: needs no images."""
    return quantize(model, identified(CalibrationRecord(identity(model), W8)))


def quantize(model: Model, record: CalibrationRecord, traced: GraphModule | None = None) -> QuantizedModel:
    """The quantized program that a record describes; deterministic. ``traced``: the model's program, where there is one."""
    program = copied(traced) if traced else trace(model)
    shift_biases(program, record)
    quantizer = Int8Quantizer(record.recipe, apart_in(program, record))
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
    computing = [(node, why) for node, why in quantizer.kept.items() if isinstance(node.target, OpOverload)]
    kinds = Counter((name_of(node), why) for node, why in computing)
    return tuple(InFloat(name, count, why) for (name, why), count in kinds.most_common())


# --- statistics to decisions ------------------------------------------------


Scales = dict[str, tuple[FixedRange, tuple[str, ...]]]
"""What ``scales_of`` returns."""


def choose_ranges(prepared: GraphModule, scales: Scales, calibration: Calibration, recipe: Recipe) -> None:
    """Let each observer hold the range that the recipe's estimator gives, as wide as kernels need it."""
    for observer, names in scales.values():
        observer.set(*calibration.range_of(recipe.estimator, sources(names, calibration)))
    observe_weights(prepared)
    widen_activations(prepared)


def sources(names: tuple[str, ...], calibration: Calibration) -> list[str]:
    """The tensors whose values those that share a scale hold, sorted."""
    nodes = {node.name: node for node in calibration.program.graph.nodes}
    return sorted(set().union(*(origins(nodes[name]) for name in names)))


def too_small(calibration: Calibration, recipe: Recipe, scales: Scales) -> frozenset[str]:
    """Tensors that lose more than two bits by the scale of a concatenation that they go into, and that others read too."""
    found = set()
    for observer, names in scales.values():
        for concat in concatenations(calibration.program, names):
            for node in producers_of(concat, names):
                if node.target in FIXED_SCALE:
                    continue  # it has that one besides
                low, high = calibration.range_of(recipe.estimator, sources((node.name,), calibration))
                others = any(user.name not in names for user in node.users)
                if others and high - low < (observer.limits[1] - observer.limits[0]) / MOST_SHARED:
                    found.add(node.name)
    return frozenset(found)


def too_narrow(calibration: Calibration, recipe: Recipe) -> frozenset[str]:
    """Outputs that leave much of the fixed scale of the operator that makes them empty.

    Inside a network what a gate opens is rounded more coarsely than the gate, and kernels for the fixed scale are everywhere.
    """
    found = set()
    for node in ends_with_fixed_scale(calibration.program) if recipe.calibrated else ():
        low, high = calibration.range_of(recipe.estimator, (node.name,))
        if high - low < FIXED_SCALE[target_of(node)][0] * STEPS / MUCH_TOO_WIDE:
            found.add(node.name)
    return frozenset(found)


def ends_with_fixed_scale(program: GraphModule) -> list[Node]:
    """The operators with a fixed scale whose results leave the network, moved at most. A softmax has no other kernel."""
    return [node for node in program.graph.nodes if node.target in GATES and leaves(node)]


def leaves(node: Node) -> bool:
    """Whether a value is one of the network's, moved at most."""
    return any(user.op == "output" or (user.target in PICKS and leaves(user)) for user in node.users)


def apart_in(program: GraphModule, record: CalibrationRecord) -> frozenset[str]:
    """The tensors that a record gives a scale of their own: parts of a concatenation, and ends with a fixed scale."""
    owners = {name: key for key, site in record.sites.items() for name in site.names}
    parts = [
        node.name
        for concat in concatenations(program, owners)
        for node in producers_of(concat, owners)
        if owners[node.name] != owners[concat.name] and node.target not in FIXED_SCALE
    ]
    alone = {name for name, site in record.sites.items() if not concatenations(program, site.names)}
    return frozenset([*parts, *(node.name for node in ends_with_fixed_scale(program) if node.name in alone)])


def concatenations(program: GraphModule, names: Collection[str]) -> list[Node]:
    """Those among some tensors."""
    return [node for node in program.graph.nodes if node.target is aten.cat.default and node.name in names]


def make_site(observer: FixedRange, names: tuple[str, ...], calibration: Calibration, recipe: Recipe) -> Site:
    """What a record says of one scale, whose range is chosen."""
    scale, zero_point = (each.item() for each in observer.calculate_qparams())
    tensors = sources(names, calibration)
    seen = calibration.statistics.of(tensors).summary()
    return Site(names, *observer.limits, scale, int(zero_point), seen, disagreement(calibration, recipe.estimator, tensors))


def disagreement(calibration: Calibration, estimator: str, tensors: list[str]) -> float | None:
    """Decibels that one half's values lose under the range that the other half gives; None where a half is empty."""
    halves = [calibration.statistics.of(tensors, (half,)) for half in (0, 1)]
    if not all(half.total for half in halves):
        return None
    ranges = [calibration.range_of(estimator, tensors, (half,)) for half in (0, 1)]
    losses = []
    for half, own_range, range_of_the_other in zip(halves, ranges, reversed(ranges), strict=True):
        own, foreign = int8_error(half, own_range), int8_error(half, range_of_the_other)
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
