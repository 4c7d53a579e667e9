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
    def input_ranges(self) -> tuple[tuple[float, float] | None, ...]:
        """The range that int8 covers of each input; None for one that is not quantized."""
        nodes = [node for node in self.reference.graph.nodes if node.op == "placeholder"]
        ranges = {name: (site.low, site.high) for site in self.record.sites.values() for name in site.names}
        return tuple(ranges.get(node.name) for node in nodes)

    @property
    def spec(self) -> ModelSpec:
        """The signature of the model that was quantized."""
        return self.model.spec
