"""Which (target, precision, io) combinations exist. Loads no torch: a wrong request is refused at once."""

from __future__ import annotations

from collections.abc import Iterator

from onenet.errors import RequestError

SUFFIXES: dict[str, str] = {"tflite": ".tflite", "onnx": ".onnx", "coreml": ".mlpackage"}
PRECISIONS: tuple[str, ...] = ("fp32", "fp16", "int8", "w8")
PAIRS: frozenset[tuple[str, str]] = frozenset((t, p) for t in SUFFIXES for p in PRECISIONS)
INT8_IO: frozenset[str] = frozenset({"tflite", "onnx"})
"""Targets whose int8 artifacts can take and give int8 tensors; Core ML's inputs are images and floats."""


def check_pair(target: str, precision: str, io: str = "float") -> None:
    """Refuse an impossible combination before any work.

    Raises:
        RequestError: says what was asked and lists what exists.
    """
    if target not in SUFFIXES:
        raise RequestError(f"target {target!r} is not known; supported: {', '.join(SUFFIXES)}")
    if (target, precision) not in PAIRS:
        possible = ", ".join(p for t, p in sorted(PAIRS) if t == target)
        raise RequestError(f"precision {precision!r} does not exist for {target}; supported: {possible}")
    if io not in ("float", "int8"):
        raise RequestError(f"io {io!r} is not known; supported: float, int8")
    if io == "int8" and precision != "int8":
        raise RequestError(f"int8 input and output need --precision int8, found {precision}; use --io float")
    if io == "int8" and target not in INT8_IO:
        raise RequestError(f"{target} has no int8 input and output; use --io float, or target {', '.join(sorted(INT8_IO))}")


def combinations(targets: list[str], precisions: list[str]) -> Iterator[tuple[str, str]]:
    """Every (target, precision), in the order asked, once each."""
    yield from dict.fromkeys((t, p) for t in targets for p in precisions)
