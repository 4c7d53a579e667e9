"""The deploy form after quantization."""

from __future__ import annotations

from dataclasses import dataclass

from torch.fx import GraphModule

from onenet.calibration.record import CalibrationRecord
from onenet.model import Model
from onenet.spec import ModelSpec


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
