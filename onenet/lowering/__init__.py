"""Exact rewrites of a traced network into operations that every converter maps onto fast kernels.

``lower_module`` runs the rules below in order, in float64, and proves the result on the network at hand: the outputs before
and after must agree to 1e-9 of their largest value, or nothing is lowered and the rule at fault is named.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from onenet.errors import CheckError, RequestError
from onenet.lowering.graph import DEQUANTIZE_CHANNELS, QUANTIZE, Graph, aten, channel_affine, plain
from onenet.lowering.rule import Report
from onenet.lowering.rules import (
    batch_norm,
    channelwise_conv,
    concat_order,
    depthwise_affine,
    fold_backward,
    fold_forward,
    layout,
    linear_chain,
    named_padding,
    normalisation,
    pixel_order,
    pixel_reshape,
    pointwise_image,
    reflect_pad,
    relu_scale,
    requantize,
    spatial_conv,
    strided_conv,
    transposed_conv,
    winograd,
)
from onenet.lowering.tiling import derive
from onenet.model import Lowering, Model, RuleResult

__all__ = ["RULES", "TARGET_RULES", "TOLERANCE", "LoweredModule", "RuleResult", "arrange", "lower", "lower_module"]

RULES: tuple[ModuleType, ...] = (
    named_padding,
    spatial_conv,
    reflect_pad,
    channelwise_conv,
    batch_norm,
    normalisation,
    pointwise_image,
    layout,
    fold_backward,
    transposed_conv,
    relu_scale,
    fold_forward,
    strided_conv,
    depthwise_affine,
    linear_chain,
    layout,
)
CPU_FORM = (requantize, pixel_order, layout, concat_order, layout)
TARGET_RULES: dict[str, tuple[ModuleType, ...]] = {
    "tflite": (winograd, *CPU_FORM, pixel_reshape),
    "onnx": (winograd, *CPU_FORM),
    "coreml": (),
}
"""What ``arrange`` does behind ``RULES``. Core ML keeps its own pixel operators: its accelerators store planes, not pixels."""
TOLERANCE = 1e-9
"""Relative difference allowed in float64. Rounding alone gives 1e-15 to 1e-13; a wrong index gives 1e-2 and more."""
LARGER = (winograd,)
"""Rules that make a file larger, for speed."""
INT8_FORM_TOLERANCE = 1e-2
"""Mean relative difference allowed between a calibrated program and its form for a target: only places change, but a sum may
round to the next int8 step when its channel moves within a vector, and later layers carry that on. 1e-5 was seen on a random
network of 27 layers; a wrong index gives about 1."""


@dataclass(frozen=True)
class LoweredModule:
    """The deploy form (float32, static shapes) and what each rule did to get there."""

    module: GraphModule
    rules: tuple[RuleResult, ...]
    error: float
    """Largest difference between the outputs in float64, relative to their largest value."""


def lower_module(module: nn.Module, inputs: Sequence[Tensor], rules: Sequence[ModuleType] = RULES) -> LoweredModule:
    """Rewrite ``module`` for inputs of exactly these shapes; the values of ``inputs`` do not matter.

    Raises:
        CheckError: the rewritten network differs by more than ``TOLERANCE``; the message names the rule that broke it.
        RequestError: the network cannot be traced, or its outputs are not finite.
    """
    graph = Graph(module, inputs)
    probe = asymmetric_probe(inputs)
    expected = outputs(graph.module, probe)
    if not all(bool(value.isfinite().all()) for value in expected):
        raise RequestError("the network returns NaN or infinity on an ordinary input; look at its weights")
    results = merged(run_rule(rule, graph) for rule in rules)
    replace_affines(graph)
    error = relative_difference(expected, outputs(graph.finish(), probe))
    if not error <= TOLERANCE:
        raise CheckError(f"lowering is not exact on this network: {first_inexact_rule(module, inputs, rules)}")
    return LoweredModule(graph.to_float32(), results, error)


@dataclass(frozen=True)
class ArrangedModule:
    """The form of a module that one target runs fastest, and what each rule did to get there."""

    module: GraphModule
    rules: tuple[RuleResult, ...]


def arrange(module: nn.Module, inputs: Sequence[Tensor], target: str, *, winograd: bool = True) -> ArrangedModule:
    """The form that ``target`` runs fastest. A calibrated program keeps every scale: its values only move.

    Args:
        module: what ``lower_module`` or ``calibrate`` returned.
        inputs: of the shapes that it was made for; their values do not matter.
        target: ``tflite``, ``onnx`` or ``coreml``.
        winograd: compute wide 3x3 float convolutions by Winograd's method, whose weights are larger.

    Raises:
        CheckError: the result differs, for a float module in float64.
    """
    assert isinstance(module, GraphModule)
    calibrated = any(node.target in (QUANTIZE, DEQUANTIZE_CHANNELS) for node in module.graph.nodes)
    graph = Graph.of(module, double=not calibrated)
    probe = asymmetric_probe(inputs)
    if calibrated:
        probe = [value.to(like.dtype) for value, like in zip(probe, inputs, strict=True)]
    expected = outputs(graph.module, probe)
    rules = [rule for rule in TARGET_RULES[target] if winograd or rule not in LARGER]
    results = merged(run_rule(rule, graph) for rule in rules)
    difference, allowed = (mean_difference, INT8_FORM_TOLERANCE) if calibrated else (relative_difference, TOLERANCE)
    error = difference(expected, outputs(graph.finish(), probe))
    if not error <= allowed:
        raise CheckError(f"the form for {target} is not exact on this network: its results differ by {error:.1e}")
    return ArrangedModule(plain(graph.module) if calibrated else graph.to_float32(), results)


def mean_difference(expected: Sequence[Tensor], found: Sequence[Tensor]) -> float:
    """Mean absolute difference over the mean absolute value, of the output where it is largest."""
    worst = 0.0
    for a, b in zip(expected, found, strict=True):
        if a.shape != b.shape:
            return float("inf")
        a, b = a.double(), b.double()  # labels are integers
        worst = max(worst, float((a - b).abs().mean() / a.abs().mean().clamp_min(torch.finfo(torch.float64).tiny)))
    return worst


def run_rule(rule: ModuleType, graph: Graph) -> RuleResult:
    report = Report()
    rule.rewrite(graph, report)
    what = (rule.__doc__ or "").strip().splitlines()[0]
    return RuleResult(rule.__name__.rpartition(".")[2], what, report.applied, dict(report.declined))


def merged(results: Iterable[RuleResult]) -> tuple[RuleResult, ...]:
    """One result per rule, where a rule ran twice."""
    found: dict[str, RuleResult] = {}
    for each in results:
        before = found.get(each.rule)
        declined = Counter(before.declined if before else {}) + Counter(each.declined)
        applied = each.applied + (before.applied if before else 0)
        found[each.rule] = dataclasses.replace(each, applied=applied, declined=dict(declined))
    return tuple(found.values())


def first_inexact_rule(module: nn.Module, inputs: Sequence[Tensor], rules: Sequence[ModuleType]) -> str:
    """Repeat the lowering with a proof after every rule; says which one broke it and by how much."""
    graph = Graph(module, inputs)
    probe = asymmetric_probe(inputs)
    expected = outputs(graph.module, probe)
    for rule in rules:
        result = run_rule(rule, graph)
        error = relative_difference(expected, outputs(graph.finish(), probe))
        if not error <= TOLERANCE:
            return f"rule {result.rule} changed the result by {error:.1e} of its largest value, {TOLERANCE:.0e} is allowed"
    return "every rule is exact alone, the remaining affines are not"


def asymmetric_probe(inputs: Sequence[Tensor], seed: int = 0) -> list[Tensor]:
    """Random values plus a ramp along every axis: no two positions, channels or borders are alike."""
    generator = torch.Generator().manual_seed(seed)
    probes = []
    for each in inputs:
        if not each.is_floating_point():
            probes.append(each)
            continue
        value = torch.rand(each.shape, generator=generator, dtype=torch.float64)
        for axis, size in enumerate(each.shape):
            ramp = torch.linspace(0, 1 + axis, size, dtype=torch.float64)
            value = value + ramp.reshape([-1 if i == axis else 1 for i in range(each.dim())])
        probes.append(value / value.max())
    return probes


@torch.no_grad()
def outputs(module: GraphModule, inputs: Sequence[Tensor]) -> list[Tensor]:
    result = module(*inputs)
    return list(result) if isinstance(result, (tuple, list)) else [result]


def relative_difference(expected: Sequence[Tensor], found: Sequence[Tensor]) -> float:
    """Largest absolute difference over the largest absolute value, over all outputs; NaN if any value is."""
    worst = 0.0
    for a, b in zip(expected, found, strict=True):
        if a.shape != b.shape:
            return float("inf")
        a, b = a.double(), b.double()  # labels are integers
        difference = (a - b).abs().max() / a.abs().max().clamp_min(torch.finfo(torch.float64).tiny)
        worst = max(worst, float(difference)) if not torch.isnan(difference) else float("nan")
    return worst


def replace_affines(graph: Graph) -> None:
    """An affine no rule could place becomes a plain multiply and add, which every exporter knows."""
    for node in graph.calls(channel_affine):
        source, scale, shift = node.args
        rank = len(node.meta["val"].shape)
        with graph.before(node):
            shaped = [graph.constant(graph.value(v).reshape([1, -1] + [1] * (rank - 2))) for v in (scale, shift)]  # type: ignore[union-attr]
            graph.replace(node, graph.call(aten.add.Tensor, graph.call(aten.mul.Tensor, source, shaped[0]), shaped[1]))


def lower(model: Model) -> Model:
    """The deploy form of a model: the same function in operations that every converter maps 1:1 onto fast kernels.

    Raises:
        CheckError: the float64 proof failed on this network.
        RequestError: the network cannot be traced, or its outputs are not finite.
    """
    if model.lowering is not None:
        return model
    lowered = lower_module(model.module, model.example())
    lowering = Lowering(lowered.rules, lowered.error)
    return dataclasses.replace(model, module=lowered.module, lowering=lowering, tiling=derive(model))
