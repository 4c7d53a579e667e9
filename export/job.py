"""What a target is asked for, and which (target, precision, io) combinations exist."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from onenet.errors import RequestError
from onenet.model import Model, QuantizedModel
from onenet.spec import TensorSpec

Target = Literal["tflite", "onnx", "coreml"]
Precision = Literal["fp32", "fp16", "int8"]
IO = Literal["float", "int8"]

SUFFIXES: dict[str, str] = {"tflite": ".tflite", "onnx": ".onnx", "coreml": ".mlpackage"}
PRECISIONS: tuple[str, ...] = ("fp32", "fp16", "int8")
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


@dataclass(frozen=True)
class Job:
    """One artifact to make. ``quantized`` is set exactly when ``precision`` is int8."""

    model: Model
    quantized: QuantizedModel | None
    target: Target
    precision: Precision
    io: IO = "float"

    @property
    def stem(self) -> str:
        """``MODEL_PRECISION``, with the output and the io named where they are not the default."""
        role = self.model.spec.outputs[0].role
        parts = [self.model.spec.name, self.precision]
        parts += [role] if role in ("probabilities", "labels") else []
        parts += ["int8io"] if self.io == "int8" else []
        return "_".join(parts)

    @property
    def file_name(self) -> str:
        return self.stem + SUFFIXES[self.target]


class Named(nn.Module):
    """The deploy form with outputs as a dictionary of names, NHWC at both ends where ``nhwc`` says so."""

    def __init__(self, module: nn.Module, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], nhwc: bool) -> None:
        super().__init__()
        self.module = module
        self.inputs, self.outputs, self.nhwc = inputs, outputs, nhwc

    def forward(self, **feeds: Tensor) -> dict[str, Tensor]:
        arguments = [self.turn(feeds[spec.name], spec, [0, 3, 1, 2]) for spec in self.inputs]
        results = zip(self.outputs, as_list(self.module(*arguments)), strict=True)
        return {spec.name: self.turn(result, spec, [0, 2, 3, 1]) for spec, result in results}

    def turn(self, value: Tensor, spec: TensorSpec, order: list[int]) -> Tensor:
        return value.permute(order) if self.nhwc and spec.layout == "NCHW" else value


def as_list(result: Tensor | list[Tensor] | tuple[Tensor, ...]) -> list[Tensor]:
    return [result] if isinstance(result, Tensor) else list(result)


def combinations(targets: list[str], precisions: list[str]) -> Iterator[tuple[str, str]]:
    """Every (target, precision), in the order asked, once each."""
    yield from dict.fromkeys((t, p) for t in targets for p in precisions)
