"""The int8 scheme: which tensors are quantized, how, and which must share a scale. Decided once, for every target.

Activations: affine int8 per tensor, [-128, 127]. Weights: symmetric int8 per output channel, [-127, 127] unless the recipe
narrows them. Biases stay exact (int32 at input scale x weight scale in the artifacts): where a bias would not fit, its
channel's weights get as large a scale as it takes, and lose nothing that an int8 result could show. This is the LiteRT 8-bit
specification, which is also what ONNX's QDQ form and Core ML's quantize/dequantize can express: https://ai.google.dev/edge/litert/models/quantization_spec
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any, cast

import torch
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e import MinMaxObserver, PerChannelMinMaxObserver
from torchao.quantization.pt2e.quantizer import (
    FixedQParamsQuantizationSpec,
    QuantizationAnnotation,
    QuantizationSpec,
    Quantizer,
    SharedQuantizationSpec,
)

from onenet.calibration.estimators import EPSILON, STEPS
from onenet.calibration.islands import float_islands
from onenet.calibration.recipe import INT8, Recipe
from onenet.lowering.graph import is_float, limits_of, target_of
from onenet.lowering.masks import is_mask
from onenet.lowering.operators import ARITHMETIC, FIXED_SCALE, JOINED, NEW_SCALE, RELU, SAME_SCALE, WEIGHTED, aten


class FixedRange(MinMaxObserver):  # type: ignore[misc]  # torchao ships no types
    """Holds the range that an estimator chose; it looks at nothing itself."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The values, unchanged."""
        return x

    def set(self, low: float, high: float) -> None:
        """Hold a range."""
        self.limits = low, high
        self.min_val, self.max_val = torch.tensor(low), torch.tensor(high)

    def widen(self, least: float) -> bool:
        """Widen the range until the scale is at least this; whether it was less."""
        scale = float(self.calculate_qparams()[0])
        if scale >= least:
            return False
        low, high = self.limits
        enough = least * (1 + 2.0**-20)  # rounding must not leave it below
        self.set(low * enough / scale, high * enough / scale) if low < high else self.set(0.0, STEPS * enough)
        return True


class ChannelMinMax(PerChannelMinMaxObserver):  # type: ignore[misc]  # torchao ships no types
    """The range of each output channel of a weight."""

    def widen(self, least: torch.Tensor) -> None:
        """Give each channel at least this scale."""
        narrow = self.calculate_qparams()[0] < least
        self.max_val.copy_(torch.where(narrow, least * self.quant_max, self.max_val))


SMALLEST_WEIGHT = 2.0**-80
"""Smallest scale of a weight: its products with the smallest and with ordinary scales of inputs are normal float32 numbers.
Only channels of nothing but zeros need one."""

ACTIVATION = QuantizationSpec(
    dtype=torch.int8,
    quant_min=-128,
    quant_max=127,
    qscheme=torch.per_tensor_affine,
    observer_or_fake_quant_ctr=FixedRange.with_args(eps=EPSILON),
)
OWN = replace(ACTIVATION, ch_axis=0)
"""The same. torchao gives readers of a tensor one scale where what they ask for is equal, and this is not."""
FIXED = {
    target: FixedQParamsQuantizationSpec(
        dtype=torch.int8, scale=scale, zero_point=zero_point, quant_min=-128, quant_max=127, qscheme=torch.per_tensor_affine
    )
    for target, (scale, zero_point) in FIXED_SCALE.items()
}
"""Of operators whose results have a scale that nothing is asked for."""


def weight_spec(limit: int) -> QuantizationSpec:
    """Symmetric per output channel, [-limit, limit]."""
    return QuantizationSpec(
        dtype=torch.int8,
        quant_min=-limit,
        quant_max=limit,
        qscheme=torch.per_channel_symmetric,
        ch_axis=0,
        observer_or_fake_quant_ctr=ChannelMinMax.with_args(eps=SMALLEST_WEIGHT),
    )


APART = "onenet_apart"
"""Marks a node whose result keeps a scale of its own."""

ASKED = "the recipe says so"
BETWEEN = "it reads what stays in float"
MASKS = "one of its constants switches values off"
NORMALISES = "its values may have any size"
NO_FORM = "int8 has no form for it"


class Int8Quantizer(Quantizer):  # type: ignore[misc]  # torchao ships no types
    """Annotates an exported program with the scheme above as a recipe says, in graph order.

    The tensors ``apart`` keep a scale of their own, though they go into a concatenation or their operator has a fixed one.
    """

    def __init__(self, recipe: Recipe = INT8, apart: Collection[str] = ()) -> None:
        super().__init__()
        self.recipe, self.apart = recipe, apart
        self.weight = weight_spec(recipe.weight_limit)
        self.kept: dict[Node, str] = {}
        """What computes in float although the recipe asks for int8, and why."""

    def annotate(self, model: GraphModule) -> GraphModule:
        """Annotate every operator that is quantized; the same program."""
        floats: set[Node] = set()  # what layers that the recipe keeps in float lead to, up to the next layer
        islands = float_islands(model)
        for node in model.graph.nodes:
            node.meta[APART] = node.name in self.apart
        for node in model.graph.nodes:
            if node.op != "call_function" or is_annotated(node):
                continue
            if node in islands:
                self.kept[node] = NORMALISES
            elif is_layer(node):
                floats.update(self.annotate_weighted(node))
            elif not (self.recipe.calibrated and is_float(node)):
                floats.add(node)
            elif stays_float(node, floats):
                floats.add(node)
                self.kept[node] = BETWEEN
            elif reads_mask(node, model):
                floats.add(node)
                self.kept[node] = MASKS
            else:
                self.annotate_between(node)
        return model

    def annotate_between(self, node: Node) -> None:
        """An operator between layers."""
        if node.target is aten.cat.default:
            annotate_concat(node)
        elif node.target in SAME_SCALE:
            annotate_same_scale(node)
        elif node.target in NEW_SCALE:
            annotate_with_relu(node, {each: spec_of(each) for each in float_inputs(node)}, ACTIVATION)
        elif node.target in FIXED:
            annotate(node, {each: spec_of(each) for each in float_inputs(node)}, fixed_of(node))
        else:
            self.kept[node] = NO_FORM

    def annotate_weighted(self, node: Node) -> list[Node]:
        """A convolution or linear layer; returns the operators of it that give floats."""
        precision = self.recipe.precision_of(operator_name(node), node.name)
        source, weight = node.all_input_nodes[:2]
        inputs = {"int8": {source: spec_of(source), weight: self.weight}, "w8": {weight: self.weight}, "float": {}}[precision]
        result = ACTIVATION if precision == "int8" else None
        results = annotate_with_relu(node, inputs, result)
        if result:
            return []
        self.kept |= dict.fromkeys(results, ASKED)
        return results

    def validate(self, model: GraphModule) -> None:
        """Nothing to check: an operator outside the scheme stays in float."""


def stays_float(node: Node, floats: set[Node]) -> bool:
    """Whether an operator between layers computes in float because of what it reads.

    A concatenation only where nothing of it is int8: TFLite's converter would put the rest on the scale of that part.
    """
    others = [each for each in node.all_input_nodes if each not in floats and each.op == "call_function"]
    return bool(floats.intersection(node.all_input_nodes)) and not (others and node.target is aten.cat.default)


def reads_mask(node: Node, model: GraphModule) -> bool:
    """Whether one of an operator's constants switches values off: no int8 scale has room for that beside the values."""
    numbers = [each for each in (*node.args, *node.kwargs.values()) if isinstance(each, float)]
    tensors = [operator.attrgetter(str(each.target))(model) for each in node.all_input_nodes if each.op == "get_attr"]
    return any(is_mask(each) for each in (*numbers, *tensors))


def is_layer(node: Node) -> bool:
    """A convolution or linear layer whose weight and bias are constants."""
    constants = cast(list[Node | None], node.args[1:3])
    return node.target in WEIGHTED and all(each is None or each.op == "get_attr" for each in constants)


def operator_name(node: Node) -> str:
    """``conv2d`` for aten.conv2d.default."""
    return str(node.target).removeprefix("aten.").partition(".")[0]


def layers_of(program: GraphModule) -> list[tuple[str, str]]:
    """Operator and name of every layer that a recipe's rules can pick, in order."""
    return [(operator_name(node), node.name) for node in program.graph.nodes if is_layer(node)]


def annotate(node: Node, inputs: dict[Any, Any], output: Any) -> None:
    """Say how an operator's inputs and its result are quantized."""
    node.meta["quantization_annotation"] = QuantizationAnnotation(input_qspec_map=inputs, output_qspec=output, _annotated=True)


def annotate_with_relu(node: Node, inputs: dict[Any, Any], output: Any) -> list[Node]:
    """An operator together with the ReLU or clamp behind it, if that is its only user and both are computed at once; returns
    them.

    A scale between the two would spend half of its steps, or more, on values that the second takes away.
    """
    only = next(iter(node.users)) if len(node.users) == 1 else None
    if only is None or not is_joined(only) or node.target not in (*WEIGHTED, *ARITHMETIC):
        annotate(node, inputs, output and result_of(node))
        return [node]
    annotate(node, inputs, None)
    annotate(only, {}, output and result_of(only))
    return [node, only]


def is_joined(node: Node) -> bool:
    """Whether a node only cuts values off, and not zero, which every scale holds."""
    if node.target not in JOINED:
        return False
    low, high = limits_of(node)
    return low <= 0 <= high


def spec_of(source: Node) -> Any:
    """How an operator reads ``source``: on the fixed scale of what made it where that has one, moved at most."""
    made = source
    while made.target in SAME_SCALE and is_annotated(made) and not made.meta[APART]:
        made = made.all_input_nodes[0]
    return fixed_of(made) if made.target in FIXED and is_annotated(made) else result_of(made)


def fixed_of(node: Node) -> Any:
    """How the result of an operator with a fixed scale is quantized: on that, unless it keeps one of its own."""
    return OWN if node.meta[APART] else FIXED[target_of(node)]


def result_of(node: Node) -> Any:
    """How an operator's result is quantized that has a scale of its own."""
    return OWN if node.meta[APART] else ACTIVATION


def is_annotated(node: Node) -> bool:
    """Whether an operator takes part in the scheme."""
    return "quantization_annotation" in node.meta


def annotate_concat(node: Node) -> None:
    """A concatenation and everything in it share one scale."""
    first, *rest = cast(list[Node], node.args[0])
    shared = SharedQuantizationSpec((first, node))
    annotate(node, {first: ACTIVATION, **{each: shared for each in rest if each is not first}}, shared)


def annotate_same_scale(node: Node) -> None:
    """The result has the scale of the input."""
    source = node.args[0]
    if isinstance(source, Node) and is_float(source):
        annotate(node, {source: spec_of(source)}, SharedQuantizationSpec((source, node)))


def float_inputs(node: Node) -> list[Node]:
    """The inputs of a node that hold floats."""
    return [each for each in node.all_input_nodes if is_float(each)]


def scales_of(prepared: GraphModule) -> dict[str, tuple[FixedRange, tuple[str, ...]]]:
    """Every activation scale of a prepared program: first tensor -> its observer, and all tensors that share it."""
    found: dict[int, tuple[FixedRange, list[str]]] = {}
    called = dict(observers(prepared))
    for node, observer in called.items():
        if isinstance(observer, FixedRange):
            names = found.setdefault(id(observer), (observer, []))[1]
            if not isinstance(called.get(node.all_input_nodes[0]), FixedRange):  # else the tensor has a scale before this one
                names.append(observed(node).name)
    return {names[0]: (observer, tuple(names)) for observer, names in found.values()}


def observed_tensors(prepared: GraphModule) -> set[str]:
    """Every activation that is quantized, on whatever scale."""
    return {observed(node).name for node, observer in observers(prepared) if not isinstance(observer, ChannelMinMax)}


def observers(prepared: GraphModule) -> Iterator[tuple[Node, torch.nn.Module]]:
    """Each call of an observer, and the observer."""
    for node in prepared.graph.nodes:
        if node.op == "call_module":
            yield node, prepared.get_submodule(str(node.target))


def observed(node: Node) -> Node:
    """What an observer looks at. There are two in a row where what has a scale goes into a concatenation that has another."""
    source: Node = node.all_input_nodes[0]
    return observed(source) if source.op == "call_module" else source


def origins(node: Node) -> set[str]:
    """The tensors that a tensor's values come from, through operators that only move or join them."""
    if node.target in (*SAME_SCALE, aten.cat.default) and node.target not in RELU:
        return set().union(*(origins(each) for each in node.all_input_nodes))
    return {node.name}


def producers_of(concat: Node, names: Collection[str]) -> set[Node]:
    """The operators whose results a concatenation joins, of those among ``names``; what only moves them is not one."""
    found = set()
    for each in concat.all_input_nodes:
        while each.target in SAME_SCALE and (each.target not in RELU or each.all_input_nodes[0].name in names):
            each = each.all_input_nodes[0]
        if each.name in names and each.target is not aten.cat.default and each.op == "call_function":
            found.add(each)
    return found


def observe_weights(prepared: GraphModule) -> None:
    """Show every weight to its observer."""
    for node, observer in observers(prepared):
        if isinstance(observer, ChannelMinMax):
            observer(operator.attrgetter(str(observed(node).target))(prepared))
