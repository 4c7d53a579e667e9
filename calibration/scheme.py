"""The int8 scheme: which tensors are quantized, how, and which must share a scale. Decided once, for every target.

Activations: affine int8 per tensor, [-128, 127]. Weights: symmetric int8 per output channel, [-127, 127]. Biases stay exact
(int32 at input scale x weight scale in the artifacts). This is the LiteRT 8-bit specification, which is also what ONNX's
QDQ form and Core ML's quantize/dequantize can express: https://ai.google.dev/edge/litert/models/quantization_spec
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
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

aten = torch.ops.aten

EPSILON = 2.0**-12
"""Smallest scale. Smaller ones overflow the int32 bias and the fixed-point multipliers of integer kernels."""


class MinMax(MinMaxObserver):  # type: ignore[misc]  # torchao ships no types
    """Smallest and largest value seen: whatever the order of the samples, the same range."""

    min_val: torch.Tensor
    max_val: torch.Tensor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # amin and amax run 10 times faster than the aminmax that torchao calls (torch 2.13, CPU).
        self.min_val = torch.minimum(x.amin(), self.min_val)
        self.max_val = torch.maximum(x.amax(), self.max_val)
        return x


class ChannelMinMax(PerChannelMinMaxObserver):  # type: ignore[misc]  # torchao ships no types
    """The same per channel, looked at once: weights do not change while samples run."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if self.min_val.numel() else super().forward(x)


ACTIVATION = QuantizationSpec(
    dtype=torch.int8,
    quant_min=-128,
    quant_max=127,
    qscheme=torch.per_tensor_affine,
    observer_or_fake_quant_ctr=MinMax.with_args(eps=EPSILON),
)
WEIGHT = QuantizationSpec(
    dtype=torch.int8,
    quant_min=-127,
    quant_max=127,
    qscheme=torch.per_channel_symmetric,
    ch_axis=0,
    observer_or_fake_quant_ctr=ChannelMinMax.with_args(eps=EPSILON),
)
PROBABILITY = FixedQParamsQuantizationSpec(
    dtype=torch.int8, scale=1 / 256, zero_point=-128, quant_min=-128, quant_max=127, qscheme=torch.per_tensor_affine
)
"""Softmax and sigmoid: the specification fixes 1/256 and -128."""

WEIGHTED = (aten.conv1d.default, aten.conv2d.default, aten.linear.default)
SAME_SCALE = (
    aten.reshape.default,
    aten.view.default,
    aten.permute.default,
    aten.transpose.int,
    aten.flatten.using_ints,
    aten.squeeze.dim,
    aten.unsqueeze.default,
    aten.slice.Tensor,
    aten.pixel_shuffle.default,
    aten.pixel_unshuffle.default,
    aten.max_pool2d.default,
    aten.upsample_nearest2d.vec,
    aten.relu.default,
    aten.relu_.default,
)
"""Operators that move or pick values: their output has the scale of their input."""
NEW_SCALE = (
    aten.add.Tensor,
    aten.sub.Tensor,
    aten.mul.Tensor,
    aten.add_.Tensor,
    aten.mean.dim,
    aten.avg_pool2d.default,
    aten.adaptive_avg_pool2d.default,
    aten.upsample_bilinear2d.vec,
)
FIXED_SCALE = (aten.softmax.int, aten.sigmoid.default)
RELU = (aten.relu.default, aten.relu_.default)


class Int8Quantizer(Quantizer):  # type: ignore[misc]  # torchao ships no types
    """Annotates an exported program with the scheme above, in graph order."""

    def annotate(self, model: GraphModule) -> GraphModule:
        for node in model.graph.nodes:
            if node.op != "call_function" or "quantization_annotation" in node.meta:
                continue
            if node.target in WEIGHTED:
                annotate_weighted(node)
            elif node.target is aten.cat.default:
                annotate_concat(node)
            elif node.target in SAME_SCALE:
                annotate_same_scale(node)
            elif node.target in NEW_SCALE:
                annotate(node, dict.fromkeys(float_inputs(node), ACTIVATION), ACTIVATION)
            elif node.target in FIXED_SCALE:
                annotate(node, {node.args[0]: ACTIVATION}, PROBABILITY)
        return model

    def validate(self, model: GraphModule) -> None:
        """Nothing to check: an operator outside the scheme stays in float, and ``float_operators`` lists it."""


def annotate(node: Node, inputs: dict[Any, Any], output: Any) -> None:
    node.meta["quantization_annotation"] = QuantizationAnnotation(input_qspec_map=inputs, output_qspec=output, _annotated=True)


def annotate_weighted(node: Node) -> None:
    """A convolution or linear layer, together with the ReLU behind it if that is its only user."""
    source, weight = node.args[:2]
    only = next(iter(node.users)) if len(node.users) == 1 else None
    fused = only is not None and only.target in RELU
    annotate(node, {source: ACTIVATION, weight: WEIGHT}, None if fused else ACTIVATION)
    if fused and only is not None:
        annotate(only, {}, ACTIVATION)


def annotate_concat(node: Node) -> None:
    first, *rest = cast(list[Node], node.args[0])
    shared = SharedQuantizationSpec((first, node))
    annotate(node, {first: ACTIVATION, **{each: shared for each in rest if each is not first}}, shared)


def annotate_same_scale(node: Node) -> None:
    source = node.args[0]
    if isinstance(source, Node) and is_float(source):
        annotate(node, {source: ACTIVATION}, SharedQuantizationSpec((source, node)))


def float_inputs(node: Node) -> list[Node]:
    return [each for each in node.all_input_nodes if is_float(each)]


def is_float(node: Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def float_operators(quantized: GraphModule) -> list[str]:
    """Operators that compute in float although the program is quantized: they become float islands in an artifact."""
    known = {*WEIGHTED, *SAME_SCALE, *NEW_SCALE, *FIXED_SCALE, aten.cat.default, aten.argmax.default}
    names = [
        str(node.target).removesuffix(".default")
        for node in quantized.graph.nodes
        if node.op == "call_function" and node.target in vars_of_aten(node) and node.target not in known and is_float(node)
    ]
    return sorted(set(names))


def vars_of_aten(node: Node) -> tuple[Any, ...]:
    return (node.target,) if str(node.target).startswith("aten.") else ()


@dataclass(frozen=True)
class CalibrationRecord:
    """What a calibration saw and decided. ``id`` names it in manifests."""

    id: str
    samples: int
    sample_ids: tuple[str, ...]
    """SHA-256 of each image file."""
    preprocessing: str
    estimator: str
    sites: dict[str, dict[str, float]]
    """Tensor name -> scale, zero_point."""
    outputs: tuple[tuple[float, int] | None, ...] = ()
    """Scale and zero point of each output; None where an output is not quantized (labels)."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
