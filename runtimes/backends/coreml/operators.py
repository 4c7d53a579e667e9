"""The operators of Core ML's ML programs (MIL), one function each: numpy arrays in, numpy arrays out.

Parameters have MIL's names, meanings and defaults, as the operator documentation of coremltools gives them
(https://apple.github.io/coremltools/source/coremltools.converters.mil.mil.ops.defs.html). Their annotations say what the
evaluator turns a program's constants into, and ``Literal`` which values are supported. An operator that cannot be computed
raises ValueError. A float16 tensor is computed with in float32 and the result rounded to float16, once per operator.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from onenet.runtimes.backends.coreml import layout, spatial
from onenet.runtimes.backends.coreml.layout import Array, Ints, check_size

Operator = Callable[..., Any]

DTYPES = {"fp16": "float16", "fp32": "float32"} | {n: n for n in ("bool", "int8", "uint8", "int16", "uint16", "int32")}


def in_float32(function: Operator) -> Operator:
    """Compute with float16 tensors in float32 and round the results to float16."""

    @functools.wraps(function)
    def compute(**arguments: Any) -> Any:
        half = any(isinstance(each, np.ndarray) and each.dtype == np.float16 for each in arguments.values())
        result = function(**{name: widened(each) for name, each in arguments.items()})
        return np.asarray(result, np.float16) if half and result.dtype == np.float32 else result

    return compute


def widened(value: Any) -> Any:
    return value.astype(np.float32) if isinstance(value, np.ndarray) and value.dtype == np.float16 else value


# ---- one value at a time --------------------------------------------------------------------------------------------


def unary(function: Callable[[Array], Any]) -> Operator:
    def apply(x: Array) -> Array:
        return np.asarray(function(x))

    return in_float32(apply)


def binary(function: Callable[[Array, Array], Any]) -> Operator:
    def apply(x: Array, y: Array) -> Array:
        check_size(np.broadcast_shapes(x.shape, y.shape))
        return np.asarray(function(x, y))

    return in_float32(apply)


def logistic(x: Array) -> Array:
    result: Array = 1 / (1 + np.exp(-x))
    return result


def erf(x: Array) -> Array:
    result: Array = spatial.torch_of(x).erf().numpy()
    return result


UNARY: dict[str, Callable[[Array], Any]] = {
    "abs": np.abs,
    "ceil": np.ceil,
    "cos": np.cos,
    "erf": erf,
    "exp": np.exp,
    "exp2": np.exp2,
    "floor": np.floor,
    "identity": lambda x: x,
    "logical_not": np.logical_not,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "round": np.rint,
    "sigmoid": logistic,
    "sign": np.sign,
    "silu": lambda x: x * logistic(x),
    "sin": np.sin,
    "softplus": lambda x: np.logaddexp(x, np.float32(0)),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "sqrt": np.sqrt,
    "square": np.square,
    "tanh": np.tanh,
}
BINARY: dict[str, Callable[[Array, Array], Any]] = {
    "add": np.add,
    "equal": np.equal,
    "floor_div": np.floor_divide,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "mod": np.mod,
    "mul": np.multiply,
    "not_equal": np.not_equal,
    "pow": np.power,
    "real_div": np.divide,
    "sub": np.subtract,
}


def clip(x: Array, alpha: float, beta: float) -> Array:
    return np.clip(x, alpha, beta)


def elu(x: Array, alpha: float) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def gelu(x: Array, mode: Literal["EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION"] = "EXACT") -> Array:
    if mode == "SIGMOID_APPROXIMATION":
        return x * logistic(1.702 * x)
    inner = erf(x * math.sqrt(0.5)) if mode == "EXACT" else np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    result: Array = 0.5 * x * (1 + inner)
    return result


def inverse(x: Array, epsilon: float = 1e-4) -> Array:
    result: Array = 1 / (x + epsilon)
    return result


def leaky_relu(x: Array, alpha: float) -> Array:
    return np.where(x >= 0, x, alpha * x)


def linear_activation(x: Array, alpha: float, beta: float) -> Array:
    return alpha * x + beta


def log(x: Array, epsilon: float = 1e-45) -> Array:
    result: Array = np.log(x + epsilon)
    return result


def prelu(x: Array, alpha: Array) -> Array:
    return np.where(x > 0, x, per_channel(alpha, x) * x)


def rsqrt(x: Array, epsilon: float = 1e-12) -> Array:
    result: Array = 1 / np.sqrt(x + epsilon)
    return result


def sigmoid_hard(x: Array, alpha: float, beta: float) -> Array:
    return np.clip(alpha * x + beta, 0, 1)


def threshold(x: Array, alpha: float) -> Array:
    """A lower bound; ``thresholded_relu`` gives 0 below ``alpha``."""
    return np.maximum(x, alpha)


def thresholded_relu(x: Array, alpha: float) -> Array:
    return np.where(x >= alpha, x, 0)


def cast(x: Array, dtype: Literal["fp16", "fp32", "bool", "int8", "uint8", "int16", "uint16", "int32"]) -> Array:
    return x.astype(DTYPES[dtype])


# ---- sums and means -------------------------------------------------------------------------------------------------


def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """Weight (O, I)."""
    result: Array = x @ weight.T
    return result if bias is None else result + bias


def matmul(x: Array, y: Array, transpose_x: bool = False, transpose_y: bool = False) -> Array:
    x, y = (x.swapaxes(-1, -2) if transpose_x else x), (y.swapaxes(-1, -2) if transpose_y else y)
    if min(x.ndim, y.ndim) > 1:
        check_size((*np.broadcast_shapes(x.shape[:-2], y.shape[:-2]), x.shape[-2], y.shape[-1]))
    result: Array = x @ y
    return result


def scaled_dot_product_attention(query: Array, key: Array, value: Array, attn_mask: Array | None = None) -> Array:
    """Query (..., L, E), key (..., S, E), value (..., S, V). A mask is added to the scores, or keeps those that are True."""
    scores = matmul(query, key, transpose_y=True) / math.sqrt(query.shape[-1])
    if attn_mask is not None:
        scores = np.where(attn_mask, scores, -np.inf) if attn_mask.dtype == bool else scores + attn_mask
    return matmul(softmax(scores), value)


def per_channel(values: Array, x: Array) -> Array:
    """(C,) as it broadcasts over ``x`` (N, C, ...)."""
    return values.reshape(-1, *(1,) * (x.ndim - 2))


def batch_norm(
    x: Array, mean: Array, variance: Array, gamma: Array | None = None, beta: Array | None = None, epsilon: float = 1e-5
) -> Array:
    scale = (1 if gamma is None else gamma) / np.sqrt(variance + epsilon)
    shift = (0 if beta is None else beta) - mean * scale
    return x * per_channel(scale, x) + per_channel(shift, x)


def instance_norm(x: Array, gamma: Array | None = None, beta: Array | None = None, epsilon: float = 1e-5) -> Array:
    result = normalised(x, tuple(range(2, x.ndim)), epsilon)
    result = result if gamma is None else result * per_channel(gamma, x)
    return result if beta is None else result + per_channel(beta, x)


def layer_norm(
    x: Array, axes: Ints | None = None, gamma: Array | None = None, beta: Array | None = None, epsilon: float = 1e-5
) -> Array:
    """``gamma`` and ``beta`` have the lengths of ``axes`` (all of them where None), in the order of the tensor's axes."""
    axes = tuple(range(x.ndim)) if axes is None else tuple(axis % x.ndim for axis in axes)
    result = normalised(x, axes, epsilon)
    shape = [n if axis in axes else 1 for axis, n in enumerate(x.shape)]
    result = result if gamma is None else result * gamma.reshape(shape)
    return result if beta is None else result + beta.reshape(shape)


def normalised(x: Array, axes: Ints, epsilon: float) -> Array:
    result: Array = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + epsilon)
    return result


def softmax(x: Array, axis: int = -1) -> Array:
    powers = np.exp(x - x.max(axis, keepdims=True))
    result: Array = powers / powers.sum(axis, keepdims=True)
    return result


def reduction(function: Operator) -> Operator:
    def reduce(x: Array, axes: Ints | None = None, keep_dims: bool = False) -> Array:
        return np.asarray(function(x, axis=axes, keepdims=keep_dims), x.dtype)

    return in_float32(reduce)


def index_of(function: Operator) -> Operator:
    def reduce(x: Array, axis: int = -1, keep_dims: bool = False, output_dtype: Literal["int32", "uint16"] = "int32") -> Array:
        return np.asarray(function(x, axis=axis, keepdims=keep_dims)).astype(output_dtype)

    return reduce


def l2_norm(x: Array, axis: Ints | None, keepdims: bool) -> Array:
    result: Array = np.sqrt(np.square(x).sum(axis=axis, keepdims=keepdims))
    return result


# ---- integers for reals ---------------------------------------------------------------------------------------------


def along(values: Array, axis: int | None, rank: int) -> Array:
    """A scale or zero point, one value or one for each place along ``axis``, as float32 that broadcasts."""
    values = values.astype(np.float32)
    return values if values.ndim == 0 or axis is None else values.reshape(-1, *(1,) * (rank - 1 - axis % rank))


def quantize(
    input: Array,  # noqa: A002  # MIL's name
    scale: Array,
    output_dtype: Literal["int8", "uint8"],
    zero_point: Array | None = None,
    axis: int | None = None,
) -> Array:
    """round(input / scale) + zero_point, saturated.

    Multiplies by 1 / scale as PT2E's reference does. A division differs from it in the last bit, which decides values that
    lie halfway between two steps; which of the two Core ML does is not documented.
    """
    limits = np.iinfo(output_dtype)
    steps = np.rint(widened(input) * (np.float32(1) / along(scale, axis, input.ndim)))
    steps = steps if zero_point is None else steps + along(zero_point, axis, input.ndim)
    result: Array = np.clip(steps, limits.min, limits.max).astype(output_dtype)
    return result


def dequantize(
    input: Array,  # noqa: A002  # MIL's name
    scale: Array,
    zero_point: Array | None = None,
    axis: int | None = None,
) -> Array:
    values = input.astype(np.float32)
    values = values if zero_point is None else values - along(zero_point, axis, input.ndim)
    result: Array = (values * along(scale, axis, input.ndim)).astype(scale.dtype)
    return result


def constexpr_affine_dequantize(quantized_data: Array, zero_point: Array, scale: Array, axis: int) -> Array:
    return dequantize(quantized_data, scale, zero_point, axis)


def constexpr_blockwise_shift_scale(data: Array, scale: Array, offset: Array | None = None) -> Array:
    """(data - offset) * scale; each scale and offset serves a block, of data.shape / scale.shape values."""
    blocks = block_index(data.shape, scale.shape)
    values = data.astype(np.float32)
    values = values if offset is None else values - offset.astype(np.float32)[blocks]
    return (values * scale.astype(np.float32)[blocks]).astype(scale.dtype)


def block_index(shape: Ints, blocks: Ints) -> tuple[Array, ...]:
    """Which block each value lies in: an index into an array of ``blocks`` that gives one of ``shape``."""
    if len(shape) != len(blocks) or any(n % parts for n, parts in zip(shape, blocks, strict=True)):
        raise ValueError(f"{shape} values do not divide into {blocks} blocks")
    return np.ix_(*(np.arange(n) // (n // parts) for n, parts in zip(shape, blocks, strict=True)))


def constexpr_cast(source_val: Array, output_dtype: Literal["fp16", "fp32"]) -> Array:
    return source_val.astype(DTYPES[output_dtype])


def constexpr_lut_to_dense(indices: Array, lut: Array, shape: Ints | None = None, vector_axis: int | None = None) -> Array:
    """Weights looked up in a table.

    Up to iOS 17: ``lut`` (P,), ``indices`` packed bits of log2(P) each. From iOS 18: ``lut`` (blocks..., P, V) for
    ``indices`` of any shape; V values replace an index along ``vector_axis``.
    """
    if shape is not None:
        check_size(shape)
        bits = int(math.log2(lut.size))
        return lut.take(unpacked(indices.view(np.uint8), bits, math.prod(shape))).reshape(shape)
    values: Array = lut[(*block_index(indices.shape, lut.shape[:-2]), indices.astype(np.int64))]
    if lut.shape[-1] == 1:
        return values.squeeze(-1)
    if vector_axis is None:
        raise ValueError("a table of vectors needs vector_axis")
    axis = vector_axis % indices.ndim
    lengths = [n * lut.shape[-1] if i == axis else n for i, n in enumerate(indices.shape)]
    return np.moveaxis(values, -1, axis + 1).reshape(lengths)


def unpacked(packed: NDArray[np.uint8], bits: int, count: int) -> NDArray[np.uint8]:
    """``count`` integers of 1 to 8 bits, lowest bits first, that lie in bytes without gaps."""
    each = np.unpackbits(packed, bitorder="little")[: count * bits].reshape(count, bits)
    return np.packbits(each, axis=1, bitorder="little")[:, 0]


# ---- the table ------------------------------------------------------------------------------------------------------

COMPUTE = (
    *(clip, elu, gelu, inverse, leaky_relu, linear_activation, log, prelu, rsqrt, sigmoid_hard, threshold, thresholded_relu),
    *(batch_norm, instance_norm, layer_norm, linear, matmul, scaled_dot_product_attention, softmax),
    *(spatial.avg_pool, spatial.conv, spatial.conv_transpose, spatial.max_pool),
    *(spatial.resample, spatial.resize_bilinear, spatial.upsample_bilinear),
)
MOVE = (
    *(
        layout.concat,
        layout.crop,
        layout.depth_to_space,
        layout.expand_dims,
        layout.fill,
        layout.gather,
    ),
    *(layout.pad, layout.pixel_shuffle, layout.pixel_unshuffle, layout.reshape, layout.reverse),
    *(layout.select, layout.slice_by_index, layout.slice_by_size, layout.space_to_depth, layout.split),
    *(layout.squeeze, layout.stack, layout.tile, layout.transpose),
    *(spatial.resize_nearest_neighbor, spatial.upsample_nearest_neighbor),
)
CONVERT = (
    *(cast, quantize, dequantize),
    *(constexpr_affine_dequantize, constexpr_blockwise_shift_scale, constexpr_cast, constexpr_lut_to_dense),
)
REDUCE: dict[str, Operator] = {
    "max": np.max,
    "min": np.min,
    "mean": np.mean,
    "sum": np.sum,
    "prod": np.prod,
    "l2_norm": l2_norm,
}

OPERATORS: dict[str, Operator] = {
    **{name: unary(function) for name, function in UNARY.items()},
    **{name: binary(function) for name, function in BINARY.items()},
    **{f"reduce_{name}": reduction(function) for name, function in REDUCE.items()},
    **{"reduce_argmax": index_of(np.argmax), "reduce_argmin": index_of(np.argmin)},
    **{function.__name__: in_float32(function) for function in COMPUTE},
    **{function.__name__: function for function in (*MOVE, *CONVERT)},
}
"""Every operator that a program may use, by its MIL name."""
