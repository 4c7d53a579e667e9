"""Tensors as an artifact stores them, and as everything else handles them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import numpy as np

from onenet.base.arrays import Array
from onenet.base.data import is_real, is_whole
from onenet.base.text import one_line, shape_text
from onenet.errors import RequestError
from onenet.spec import Layout, Role, TensorSpec

STORED = ("float16", "float32", "float64", "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
"""Types that a tensor can be stored in."""
MOST_AXES, LONGEST_NAME = 8, 200


def quantize(values: Array, spec: TensorSpec) -> Array:
    """Float values as ``spec`` stores them: round(value / scale) + zero_point, saturated to the dtype's range.

    Halves round to even and the division is in float32, as ONNX's QuantizeLinear defines it. Where ``spec.scale`` is
    None the values pass unchanged.

    Raises:
        RequestError: a value is NaN, which no integer stands for.
    """
    if spec.scale is None:
        return np.asarray(values)
    limits = np.iinfo(spec.dtype)
    steps = np.rint(np.asarray(values, np.float32) / np.float32(spec.scale))
    if np.isnan(steps).any():
        raise RequestError(f"input {spec.name} holds NaN, which {spec.dtype} cannot store; check the values fed to it")
    result: Array = np.clip(steps + (spec.zero_point or 0), limits.min, limits.max).astype(spec.dtype)
    return result


def dequantize(stored: Array, spec: TensorSpec) -> Array:
    """(stored - zero_point) * scale in float32. Without a scale: float types become float32, integers (labels) stay."""
    stored = np.asarray(stored)
    if spec.scale is not None:
        result: Array = (stored.astype(np.float32) - np.float32(spec.zero_point or 0)) * np.float32(spec.scale)
        return result
    return stored.astype(np.float32, copy=False) if stored.dtype.kind == "f" else stored


def check_feeds(feeds: Mapping[str, Array], inputs: tuple[TensorSpec, ...]) -> None:
    """Names, then shapes and dtypes; an axis of -1 takes any length.

    Raises:
        RequestError: one line with what the artifact takes and what it was given.
    """
    names = sorted(spec.name for spec in inputs)
    if sorted(feeds) != names:
        raise RequestError(f"the artifact takes inputs {', '.join(names)}; found {', '.join(sorted(feeds)) or 'none'}")
    for spec in inputs:
        found = feeds[spec.name]
        fits = found.ndim == len(spec.shape) and all(a in (-1, b) for a, b in zip(spec.shape, found.shape))
        if not fits or found.dtype != spec.dtype:
            asked = f"{spec.dtype} {shape_text(spec.shape)}"
            raise RequestError(f"input {spec.name} is {asked}; found {found.dtype} {shape_text(found.shape)}")


def read_spec(data: Any) -> TensorSpec:
    """A tensor of a manifest; -1 is an axis left open.

    Raises:
        ValueError: a field is missing, unknown or of another kind; says which.
    """
    try:
        spec = TensorSpec.from_dict(data)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not a tensor: {one_line(error)}") from error
    right = {
        "name": isinstance(spec.name, str) and spec.name.isprintable() and len(spec.name) <= LONGEST_NAME,
        "role": spec.role in get_args(Role),
        "shape": all(is_whole(n, -1) for n in spec.shape) and len(spec.shape) <= MOST_AXES,
        "layout": spec.layout in get_args(Layout) and (spec.layout == "other" or len(spec.shape) == len(spec.layout)),
        "dtype": spec.dtype in STORED,
        "value_range": spec.value_range is None or (len(spec.value_range) == 2 and all(map(is_real, spec.value_range))),
        "scale": spec.scale is None or (is_real(spec.scale) and spec.scale > 0 and "int" in str(spec.dtype)),
        "zero_point": spec.zero_point is None or is_whole(spec.zero_point, -(2**31)),
    }
    wrong = [name for name, good in right.items() if not good]
    if wrong:
        raise ValueError(f"a tensor has the {wrong[0]} {getattr(spec, wrong[0])!r}")
    return spec


def to_stored(value: Array, spec: TensorSpec) -> Array:
    """A value (N, C, H, W) in the layout of the artifact: (N, H, W, C) where its spec says NHWC."""
    return np.ascontiguousarray(value.transpose(0, 2, 3, 1)) if spec.layout == "NHWC" else value


def to_canonical(value: Array, spec: TensorSpec) -> Array:
    """A value in the layout of the artifact as (N, C, H, W); the inverse of to_stored."""
    return np.ascontiguousarray(value.transpose(0, 3, 1, 2)) if spec.layout == "NHWC" else value
