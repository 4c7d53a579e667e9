"""Every set of operators that lowering, calibration and the layer profile speak of: once, here.

An operator is named as torch.export writes it (``aten.conv2d.default``). A set holds what its readers treat alike.
"""

from __future__ import annotations

import operator
from collections.abc import Callable

import torch
import torch.ao.quantization.fx._decomposed  # registers the operators that calibration puts into a graph

Operator = Callable[..., torch.Tensor]
"""What a node of a graph calls."""

aten = torch.ops.aten
quantized = torch.ops.quantized_decomposed

QUANTIZE, DEQUANTIZE = quantized.quantize_per_tensor.default, quantized.dequantize_per_tensor.default
QUANTIZE_CHANNELS, DEQUANTIZE_CHANNELS = quantized.quantize_per_channel.default, quantized.dequantize_per_channel.default
QUANTIZERS = (QUANTIZE, DEQUANTIZE, QUANTIZE_CHANNELS, DEQUANTIZE_CHANNELS)

CONVOLUTIONS = (aten.conv1d.default, aten.conv2d.default)
CONVOLUTION_OF_RANK: dict[int, Operator] = {1: aten.conv1d.default, 2: aten.conv2d.default}
"""Spatial axes -> convolution."""
WITH_NAMED_PADDING: dict[Operator, Operator] = {
    aten.conv1d.padding: aten.conv1d.default,
    aten.conv2d.padding: aten.conv2d.default,
}
"""Convolution with padding "same" or "valid" -> the one with numbers."""
TRANSPOSED_CONVOLUTION = aten.conv_transpose2d.input
WEIGHTED = (*CONVOLUTIONS, aten.linear.default)
"""Layers with weights that int8 knows."""

RELU = (aten.relu.default, aten.relu_.default)
PADS = (aten.pad.default, aten.reflection_pad1d.default)
"""Operators that may reflect the ends of a sequence."""

RESHAPES = (aten.reshape.default, aten.view.default)
LAYOUT = (
    *RESHAPES,
    aten.permute.default,
    aten.transpose.int,
    aten.flatten.using_ints,
    aten.squeeze.dim,
    aten.unsqueeze.default,
)
"""Bring every element to another place; the shape may change."""
SHUFFLES = (aten.pixel_shuffle.default, aten.pixel_unshuffle.default)
MOVES = (*LAYOUT, *SHUFFLES)
"""Bring every element to another place: nothing is computed, nothing is left out."""
PICKS = (*MOVES, aten.slice.Tensor)
"""Bring some elements to another place: nothing is computed."""

PARTS = (
    *(aten.chunk.default, aten.split.Tensor, aten.split_with_sizes.default, aten.unbind.int),
    *(aten.max.dim, aten.adaptive_max_pool2d.default),
)
"""Give several tensors, each of which ``operator.getitem`` takes."""
PADS_WITH_VALUE = (aten.pad.default, aten.constant_pad_nd.default)
CARRIERS = (
    *(operator.getitem, aten.stack.default, aten.select.int, aten.narrow.default),
    *(aten.index_select.default, aten.index.Tensor),
    *(*PADS_WITH_VALUE, aten.reflection_pad2d.default, aten.replication_pad2d.default),
    *(
        aten.expand.default,
        aten.expand_as.default,
        aten.repeat.default,
        aten.tile.default,
        aten.flip.default,
        aten.roll.default,
    ),
    *(aten.unflatten.int, aten.squeeze.default, aten.squeeze.dims, aten.movedim.int, aten.swapaxes.default),
    *(aten.clone.default, aten.contiguous.default, aten.dropout.default, aten.amax.default, aten.amin.default),
)
"""Operators beyond calibration's scheme that give values of their inputs."""

SAME_SCALE = (
    *PICKS,
    aten.max_pool2d.default,
    aten.upsample_nearest2d.vec,
    # TFLite's pools and resizes have one scale for both; with two, its converter would take the wrong one and clip.
    aten.avg_pool2d.default,
    aten.upsample_bilinear2d.vec,
    *RELU,
)
"""Operators that move, pick or mix values within their range: their output has the scale of their input."""
ARITHMETIC = (aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.add_.Tensor)
"""Operators on two tensors; runtimes compute them together with a ReLU behind them."""
NEW_SCALE = (
    *ARITHMETIC,
    *(aten.mean.dim, aten.adaptive_avg_pool2d.default, aten.leaky_relu.default, aten.leaky_relu_.default),
)
"""Operators whose output has a scale of its own."""
FIXED_SCALE: dict[Operator, tuple[float, int]] = {
    aten.softmax.int: (1 / 256, -128),
    aten.sigmoid.default: (1 / 256, -128),
    aten.tanh.default: (1 / 128, 0),
    aten.hardsigmoid.default: (1 / 255, -128),
}
"""Operators whose output has a fixed scale and zero point: those of the int8 specification, and for the hard sigmoid, which it
does not know, those that hold 0 and 1."""
GATES = (aten.sigmoid.default, aten.hardsigmoid.default, aten.tanh.default)
"""Those of them that take one value for one."""
WIDE = (
    *(aten.div.Tensor, aten.reciprocal.default, aten.rsqrt.default, aten.sqrt.default, aten.pow.Tensor_Scalar),
    *(aten.linalg_vector_norm.default, aten.norm.ScalarOpt_dim, aten.var.correction, aten.var.dim, aten.std.correction),
    *(aten.std.dim, aten.exp.default, aten.log.default),
)
"""Operators whose results, or what they divide by, may be of any size: 256 steps do not hold them."""
CLAMPS = (aten.relu6.default, aten.relu6_.default, aten.hardtanh.default, aten.hardtanh_.default)
"""Operators that TFLite's converter joins with the int8 layer before them."""
JOINED = (*RELU, *CLAMPS, aten.clamp.default, aten.clamp_.default)
"""Operators that cut values off at numbers: what is computed together with the layer or sum before them, on one scale, if zero
is among the values that they leave."""
IN_INT8 = (*WEIGHTED, *SAME_SCALE, *NEW_SCALE, *FIXED_SCALE, aten.cat.default)
"""Operators that the int8 scheme knows."""

PIXELS, PLANES = [0, 2, 3, 1], [0, 3, 1, 2]
"""Permutations from (N, C, H, W) to (N, H, W, C) and back."""
