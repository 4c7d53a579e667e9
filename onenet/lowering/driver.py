"""Runs the rules over a traced network, in float64, and proves the result.

The outputs before and after must agree to 1e-9 of their largest value, or nothing is lowered and the rule at fault is named.
What cannot be proven is not rewritten: complex numbers, sizes that depend on values, random numbers.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.fx import GraphModule

from onenet.base.folder import Folder
from onenet.base.text import first_line, one_line
from onenet.errors import CheckError, OneNetError
from onenet.lowering.constants import fold_constants, store_integers
from onenet.lowering.graph import Graph, copied, plain
from onenet.lowering.operators import DEQUANTIZE_CHANNELS, QUANTIZE
from onenet.lowering.proof import (
    INT8_FORM_TOLERANCE,
    TOLERANCE,
    asymmetric_probe,
    mean_difference,
    relative_difference,
)
from onenet.lowering.rule import Place, Report, Rule
from onenet.lowering.threads import one_thread
from onenet.lowering.tiling import derive
from onenet.lowering.trace import Unproven, check_provable, check_steady, check_values, traced
from onenet.model import Lowering, Model, RuleResult
from onenet.spec import ModelSpec, TensorSpec
from onenet.targets import TARGETS

AnyRule = Rule[Any]
RULES: Folder[AnyRule] = Folder("onenet.lowering.rules", "RULE")


FLOAT_NAMES = ("float16", "bfloat16", "float64")


def common_order() -> tuple[AnyRule, ...]:
    """The rules that every network goes through, in order. A rule may have more than one place in it."""
    rules = RULES.cards()
    steps = sorted((step, name) for name, rule in rules.items() for step in rule.steps)
    return tuple(rules[name] for _, name in steps)


def target_order(target: str) -> tuple[AnyRule, ...]:
    """The rules of a target's own form, which come behind the common ones, in the order of the target's card."""
    return tuple(RULES.get(name, "lowering rule") for name in TARGETS.get(target, "target").rules)


@dataclass(frozen=True)
class LoweredModule:
    """The deploy form (float32, static shapes) and what each rule did to get there."""

    module: GraphModule
    rules: tuple[RuleResult, ...]
    error: float
    """Largest difference between the outputs in float64, relative to their largest value."""
    refused: str | None = None
    """Why the network is left as it was traced; None where the rules ran."""


class BrokenRule(CheckError):
    """A rule that raised an error of its own.

    Attributes:
        rule: its name.
        reason: the error, on one line.
    """

    def __init__(self, rule: str, error: Exception) -> None:
        self.rule, self.reason = rule, f"{type(error).__name__}: {one_line(first_line(error))}"
        super().__init__(f"the rule {rule} failed: {self.reason}")


def lower(model: Model, without: Collection[str] = ()) -> Model:
    """The deploy form of a model: the same function in operations that every converter maps 1:1 onto fast kernels.

    Args:
        model: as ``build`` made it. A lowered model is returned as it is.
        without: names of rules that are left out.

    Returns:
        The model with its module lowered, what each rule did, and the tiles in which it runs exactly. Floating inputs and
        outputs are float32. A network that no proof can be made for is traced and left as it is, with a warning. So is a rule
        that fails left out.

    Raises:
        CheckError: the float64 proof failed on this network.
        RequestError: the network cannot be traced, or gives nothing but NaN and infinity.
    """
    if model.lowering is not None:
        return model
    lowered, broken = lowered_without_broken(model, without)
    lowering = Lowering(lowered.rules, lowered.error, lowered.refused, broken)
    spec = in_float32(model.spec)
    made = dataclasses.replace(model, spec=spec, module=lowered.module, lowering=lowering, tiling=derive(model), before=model)
    for line in made.warnings:
        warnings.warn(line, UserWarning, stacklevel=2)
    return made


def lowered_without_broken(model: Model, without: Collection[str]) -> tuple[LoweredModule, tuple[str, ...]]:
    """``lower_module`` with every common rule that does not fail; and those that do, with their errors."""
    broken: dict[str, str] = {}
    while True:
        rules = [rule for rule in common_order() if rule.name not in (*without, *broken)]
        try:
            lowered = lower_module(model.module, model.example(), rules)
        except BrokenRule as error:
            if error.rule in broken:  # one that runs behind the others whatever is left out
                raise
            broken[error.rule] = f"{error.rule}, which failed: {error.reason}"
        else:
            return lowered, tuple(broken.values())


def in_float32(spec: ModelSpec) -> ModelSpec:
    """The signature of a deploy form, which computes in float32 whatever the network's own type was."""

    def single(tensor: TensorSpec) -> TensorSpec:
        return dataclasses.replace(tensor, dtype="float32") if tensor.dtype in FLOAT_NAMES else tensor

    inputs, outputs = (tuple(single(each) for each in tensors) for tensors in (spec.inputs, spec.outputs))
    return dataclasses.replace(spec, inputs=inputs, outputs=outputs)


@one_thread()  # a weight, or the proof's error in a manifest, must not depend on the threads
def lower_module(module: nn.Module, inputs: Sequence[Tensor], rules: Sequence[AnyRule] | None = None) -> LoweredModule:
    """Rewrite ``module`` for inputs of exactly these shapes.

    Args:
        module: any network that torch.export can trace. It is not changed.
        inputs: of the shapes to lower for; their values do not matter.
        rules: the rules to run, in order; the common order where none are given.

    Raises:
        CheckError: the rewritten network differs by more than ``TOLERANCE``; the message names the rule that broke it.
        RequestError: the network cannot be traced, or its outputs are not finite.
    """
    rules = common_order() if rules is None else rules
    program, probe = traced(module, inputs), asymmetric_probe(inputs)
    try:
        graph, expected = in_double(program, probe)
    except Unproven as reason:
        return LoweredModule(plain(program), (), 0.0, str(reason))
    fold_constants(graph)
    results = merged(run_rule(rule, graph) for rule in rules)
    run_rule(RULES.get("plain_affine", "lowering rule"), graph)  # rules of a caller's own choice may leave affines
    error = relative_difference(expected, graph.outputs(probe))
    if not error <= TOLERANCE:
        raise CheckError(f"lowering is not exact on this network: {first_inexact_rule(program, probe, rules)}")
    return LoweredModule(graph.to_float32(), results, error)


def in_double(program: GraphModule, probe: Sequence[Tensor]) -> tuple[Graph, list[Tensor]]:
    """A traced network as a graph in float64, and what it gives for the probe.

    Raises:
        Unproven: no proof can be made for it; says why.
        RequestError: an output is nothing but NaN and infinity.
    """
    check_provable(program)
    graph = Graph(program)
    store_integers(graph)
    graph.to_float64()
    expected = provable_outputs(graph, probe)
    check_values(graph, expected)
    return graph, expected


def provable_outputs(graph: Graph, probe: Sequence[Tensor]) -> list[Tensor]:
    """What a graph gives for the probe.

    Raises:
        Unproven: it does not run, or draws random numbers.
    """
    try:
        expected = graph.outputs(probe)
    except Exception as error:  # an operator may be without float64
        raise Unproven(f"it does not run in float64: {one_line(first_line(error))}") from error
    check_steady(graph, expected, probe)
    return expected


@dataclass(frozen=True)
class ArrangedModule:
    """The form of a module that one target runs fastest, and what each rule did to get there."""

    module: GraphModule
    rules: tuple[RuleResult, ...]


def arrange(
    module: nn.Module, inputs: Sequence[Tensor], target: str, *, winograd: bool = True, without: Collection[str] = ()
) -> ArrangedModule:
    """The form that ``target`` runs fastest. A calibrated program keeps every scale: its values only move.

    Args:
        module: what ``lower_module`` or ``calibrate`` returned.
        inputs: of the shapes that it was made for; their values do not matter.
        target: ``tflite``, ``onnx`` or ``coreml``.
        winograd: compute wide 3x3 float convolutions by Winograd's method, whose weights are larger.
        without: names of rules that are left out.

    Raises:
        CheckError: the result differs, for a float module in float64.
    """
    assert isinstance(module, GraphModule)
    calibrated = any(node.target in (QUANTIZE, DEQUANTIZE_CHANNELS) for node in module.graph.nodes)
    probe = asymmetric_probe(inputs)
    if calibrated:
        probe = [value.to(like.dtype) for value, like in zip(probe, inputs, strict=True)]
    try:
        check_provable(module)
        graph = Graph.of(module, double=not calibrated)
        expected = provable_outputs(graph, probe)
    except Unproven:  # lowering left it as it was, too
        return ArrangedModule(plain(copied(module)), ())
    rules = [rule for rule in target_order(target) if rule.name not in without and (winograd or not rule.larger)]
    results = merged(run_rule(rule, graph) for rule in rules)
    difference, allowed = (mean_difference, INT8_FORM_TOLERANCE) if calibrated else (relative_difference, TOLERANCE)
    error = difference(expected, graph.outputs(probe))
    if not error <= allowed:
        raise CheckError(f"the form for {target} is not exact on this network: its results differ by {error:.1e}")
    return ArrangedModule(plain(graph.module) if calibrated else graph.to_float32(), results)


def run_rule(rule: Rule[Place], graph: Graph) -> RuleResult:
    """Rewrite every match that the rule has nothing against; says how many, and what it left alone and why.

    Raises:
        BrokenRule: the rule raised anything that is no error of ours.
    """
    try:
        return rewrite_all(rule, graph)
    except OneNetError:
        raise
    except Exception as error:  # a rule that meets what nobody thought of must not end an export
        raise BrokenRule(rule.name, error) from error


def rewrite_all(rule: Rule[Place], graph: Graph) -> RuleResult:
    """``run_rule``, with the rule's own errors."""
    applied = 0
    while True:
        report = Report()
        for place in rule.matches(graph):
            reason = rule.check(graph, place)
            if reason is None:
                rule.rewrite(graph, place)
                report.apply()
            else:
                report.decline(reason)
        applied += report.applied
        if not (rule.repeats and report.applied):
            return RuleResult(rule.name, rule.form, applied, dict(report.declined))


def merged(results: Iterable[RuleResult]) -> tuple[RuleResult, ...]:
    """One result per rule, where a rule ran twice."""
    by_name: dict[str, RuleResult] = {}
    for result in results:
        before = by_name.get(result.rule)
        declined = Counter(before.declined if before else {}) + Counter(result.declined)
        applied = result.applied + (before.applied if before else 0)
        by_name[result.rule] = dataclasses.replace(result, applied=applied, declined=dict(declined))
    return tuple(by_name.values())


def first_inexact_rule(program: GraphModule, probe: Sequence[Tensor], rules: Sequence[AnyRule]) -> str:
    """Repeat the lowering with a proof after every rule; says which one broke it and by how much."""
    graph, expected = in_double(program, probe)
    fold_constants(graph)
    for rule in rules:
        result = run_rule(rule, graph)
        error = relative_difference(expected, graph.outputs(probe))
        if not error <= TOLERANCE:
            return f"rule {result.rule} changed the result by {error:.1e} of its largest value, {TOLERANCE:.0e} is allowed"
    return "every rule is exact alone, the remaining affines are not"
