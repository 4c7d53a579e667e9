"""A model at any stage before export: its signature, its module, and what was done to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onenet.spec import ModelSpec, Tiling

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.fx import GraphModule

    from onenet.calibration.record import CalibrationRecord
    from onenet.lowering.rule import RuleResult


@dataclass(frozen=True)
class Lowering:
    """Which exact rewrites were applied and declined, and the float64 proof's result."""

    rules: tuple[RuleResult, ...]
    error: float

    def as_dict(self) -> dict[str, Any]:
        return {"rules": [rule.as_dict() for rule in self.rules], "float64_relative_error": float(f"{self.error:.1e}")}


@dataclass(frozen=True)
class Model:
    """A network with its signature. ``build`` makes one, ``lower`` turns it into its deploy form."""

    spec: ModelSpec
    module: nn.Module
    lowering: Lowering | None = None
    tiling: Tiling | None = None
    """Set by ``lower`` and ``tile``: whether larger images run through it in tiles exactly."""

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images for a model of one image: its input's, or what its input is a tile of."""
        _, _, height, width = self.spec.inputs[0].shape
        return (self.tiling and self.tiling.image_size) or (height, width)

    def example(self) -> tuple[Tensor, ...]:
        """Zero inputs of the right shapes and types."""
        import torch

        return tuple(torch.zeros(t.shape, dtype=getattr(torch, t.dtype)) for t in self.spec.inputs)


@dataclass(frozen=True)
class QuantizedModel:
    """The deploy form after quantization: the one place where scales are decided.

    ``reference`` has int8 weights folded in and simulates the integer arithmetic in float32; it is what every quantized
    artifact is compared with. ``open_form`` is the same program with the float weight behind its own quantize operator, the
    form that the TFLite converter reads.
    """

    model: Model
    reference: GraphModule
    open_form: GraphModule
    record: CalibrationRecord
    outputs: tuple[tuple[float, int] | None, ...] = ()
    """Scale and zero point of each output; None where an output is not quantized (labels, w8)."""

    @property
    def spec(self) -> ModelSpec:
        return self.model.spec
