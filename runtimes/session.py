"""What every runtime gives: tensors in and out exactly as the artifact stores them, and the helpers they share."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from onenet.errors import CheckError, RequestError, ToolError
from onenet.spec import Layout, Role, TensorSpec

Array = NDArray[Any]

METADATA = "onenet"
"""The key that the manifest has in every artifact's own metadata."""
EVALUATOR = "coreml evaluator"
"""``runtime["name"]`` where values are those of our evaluator of Core ML packages, not Core ML's."""
STORED = ("float16", "float32", "float64", "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
"""Types that a tensor can be stored in."""
MOST_AXES, LONGEST_NAME = 8, 200
LONGEST_JSON = 16 << 20
"""Bytes. A manifest has some 20 kB; parsed, JSON takes up to 25 times its length in memory."""


class Session(Protocol):
    """An artifact opened in its runtime.

    The specs say what the file itself says: names, shapes (-1 where it leaves an axis open), dtypes, and the int8 scale
    where it holds one. Roles are guesses and layouts mostly "other": those are in the manifest.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    runtime: dict[str, Any]
    """``name``, ``version`` and ``kernels`` (or, where ``runs_here`` is False, why not)."""
    runs_here: bool
    """False where this machine can read the artifact but not compute with it."""

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Compute all outputs. ``feeds`` holds every input under its name, in its shape and dtype.

        Raises:
            RequestError: names, shapes or dtypes differ from ``inputs``.
            ToolError: the runtime failed.
        """
        ...


def quantise(values: Array, spec: TensorSpec) -> Array:
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


def dequantise(stored: Array, spec: TensorSpec) -> Array:
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


def shape_text(shape: tuple[int, ...]) -> str:
    """(1, 3, -1, 8) as ``1x3x?x8``; a scalar as ``scalar``."""
    return "x".join("?" if n < 0 else str(n) for n in shape) or "scalar"


def parse_json(text: str | bytes) -> Any:
    """JSON from a file that anybody may have written.

    Raises:
        ValueError: it is not JSON, is nested more deeply than Python's parser goes, or is longer than LONGEST_JSON.
    """
    if len(text) > LONGEST_JSON:
        raise ValueError(f"{len(text)} bytes; the longest that is read is {LONGEST_JSON}")
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def parse_manifest(text: str | bytes, where: str) -> dict[str, Any]:
    """The manifest found in ``where``.

    Raises:
        CheckError: it is not a JSON object, so something rewrote the artifact.
    """
    try:
        manifest = parse_json(text)
    except ValueError as error:
        raise CheckError(f"the manifest inside {where} is not JSON ({one_line(error)}); export the artifact again") from error
    if not isinstance(manifest, dict):
        raise CheckError(f"the manifest inside {where} is a JSON {type(manifest).__name__}, not an object")
    return manifest


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
        "layout": spec.layout in get_args(Layout) and (spec.layout == "other" or len(spec.shape) == 4),
        "dtype": spec.dtype in STORED,
        "value_range": spec.value_range is None or (len(spec.value_range) == 2 and all(map(is_real, spec.value_range))),
        "scale": spec.scale is None or (is_real(spec.scale) and spec.scale > 0 and "int" in str(spec.dtype)),
        "zero_point": spec.zero_point is None or is_whole(spec.zero_point, -(2**31)),
    }
    wrong = [name for name, good in right.items() if not good]
    if wrong:
        raise ValueError(f"a tensor has the {wrong[0]} {getattr(spec, wrong[0])!r}")
    return spec


def is_whole(value: Any, least: int = 0) -> bool:
    """Whether it is an integer from ``least`` to 2³¹ - 1; Python's bools are not."""
    return type(value) is int and least <= value < 2**31


def is_real(value: Any) -> bool:
    """Whether it is a number that float32 holds."""
    return type(value) in (int, float) and (value == 0 or 1e-37 < abs(value) < 1e38)


def paired(*sequences: Iterable[Any]) -> list[tuple[Any, ...]]:
    """``zip(..., strict=True)``, which Python 3.9, on the Raspberry Pis of 2021, does not have.

    Raises:
        ValueError: the lengths differ.
    """
    lists = [list(each) for each in sequences]
    if len({len(each) for each in lists}) > 1:
        raise ValueError(f"lengths differ: {', '.join(str(len(each)) for each in lists)}")
    return list(zip(*lists))


def require(module: str, extra: str = "runtime") -> Any:
    """Import a package that only some users need.

    Raises:
        ToolError: it is not installed, or does not load; says which extra brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.split(".")[0]
        raise ToolError(f'{package} cannot be imported ({one_line(error)}); pip install "onenet[{extra}]"') from error


def version_of(package: str) -> str:
    """The version of an installed distribution; "unknown" where the module comes from another one (a nightly build)."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def all_cores() -> int:
    """Cores that this process may use; in a container or under taskset fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def one_line(error: BaseException | str) -> str:
    """An exception's text, or one with names from a file, on one line of at most 300 characters.

    What a terminal would obey, and half a surrogate pair, which has no encoding, are spelled out.
    """
    text = " ".join(str(error).split()) or type(error).__name__
    text = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text[:1000])
    return text if len(text) <= 300 else text[:297] + "..."
