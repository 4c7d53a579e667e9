"""What every runtime gives: tensors in and out exactly as the artifact stores them, and the helpers they share."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from onenet.errors import CheckError, RequestError, ToolError
from onenet.spec import TensorSpec

Array = NDArray[Any]

METADATA = "onenet"
"""The key that the manifest has in every artifact's own metadata."""


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
        fits = found.ndim == len(spec.shape) and all(a in (-1, b) for a, b in zip(spec.shape, found.shape, strict=True))
        if not fits or found.dtype != spec.dtype:
            asked = f"{spec.dtype} {shape_text(spec.shape)}"
            raise RequestError(f"input {spec.name} is {asked}; found {found.dtype} {shape_text(found.shape)}")


def shape_text(shape: tuple[int, ...]) -> str:
    """(1, 3, -1, 8) as ``1x3x?x8``; a scalar as ``scalar``."""
    return "x".join("?" if n < 0 else str(n) for n in shape) or "scalar"


def parse_manifest(text: str | bytes, where: str) -> dict[str, Any]:
    """The manifest found in ``where``.

    Raises:
        CheckError: it is not a JSON object, so something rewrote the artifact.
    """
    try:
        manifest = json.loads(text)
    except ValueError as error:
        raise CheckError(f"the manifest inside {where} is not JSON ({error}); export the artifact again") from error
    if not isinstance(manifest, dict):
        raise CheckError(f"the manifest inside {where} is a JSON {type(manifest).__name__}, not an object")
    return manifest


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


def one_line(error: BaseException) -> str:
    """An exception's text on one line of at most 300 characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:297] + "..."
