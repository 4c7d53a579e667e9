"""The deploy form after quantization."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from torch.fx import GraphModule
from torchao.quantization.pt2e import allow_exported_model_train_eval
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e

from onenet.calibration.integers import in_integers
from onenet.calibration.record import CalibrationRecord
from onenet.lowering.graph import copied, is_float
from onenet.model import Model
from onenet.spec import ModelSpec


@dataclass(frozen=True)
class InFloat:
    """Operators of one kind that an int8 program computes in float."""

    operator: str
    """As torch names it: ``gelu``."""
    count: int
    why: str


def in_float_text(kinds: Sequence[InFloat]) -> str:
    """``18 gelu, 36 layer_norm (int8 has no form for it); 2 mul (...)``: by reason."""
    reasons = {each.why: [f"{kind.count} {kind.operator}" for kind in kinds if kind.why == each.why] for each in kinds}
    return "; ".join(f"{', '.join(names)} ({why})" for why, names in reasons.items())


@dataclass(frozen=True)
class QuantizedModel:
    """The deploy form after quantization: the one place where scales are decided.

    ``reference`` has int8 weights folded in and simulates the integer arithmetic in float32; it is what every quantized
    artifact is compared with. ``prepared`` is the float program with the scales, which both forms are made from.
    """

    model: Model
    reference: GraphModule
    prepared: GraphModule
    record: CalibrationRecord
    outputs: tuple[tuple[float, int] | None, ...] = ()
    """Scale and zero point of each output; None where an output is not quantized (labels, w8)."""
    in_float: tuple[InFloat, ...] = ()
    """What is not computed in int8 although the recipe quantizes activations; the most frequent first."""

    @functools.cached_property
    def open_form(self) -> GraphModule:
        """The same program with each float weight behind its own quantize operator: what the TFLite converter reads."""
        return converted(self.prepared, folded=False)

    @property
    def input_ranges(self) -> tuple[tuple[float, float] | None, ...]:
        """The range that int8 covers of each input; None for one that is not quantized."""
        nodes = [node for node in self.reference.graph.nodes if node.op == "placeholder"]
        ranges = {name: (site.low, site.high) for site in self.record.sites.values() for name in site.names}
        return tuple(ranges.get(node.name) for node in nodes)

    @property
    def float_share(self) -> float:
        """Of the operators that compute or move numbers, how many do so in float, from 0 to 1."""
        computing = [node for node in self.prepared.graph.nodes if node.op == "call_function" and is_float(node)]
        return sum(each.count for each in self.in_float) / max(len(computing), 1)

    @property
    def spec(self) -> ModelSpec:
        """The signature of the model that was quantized."""
        return self.model.spec


def converted(prepared: GraphModule, *, folded: bool) -> GraphModule:
    """The quantized program of a prepared one, which is left as it is. ``folded``: its weights are int8 already."""
    module: GraphModule = convert_pt2e(copied(prepared), fold_quantize=folded)
    allow_exported_model_train_eval(module)
    return in_integers(module)
