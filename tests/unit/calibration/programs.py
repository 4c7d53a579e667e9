"""What the tests of calibration ask of a calibrated program."""

from __future__ import annotations

from torch import nn
from torch.fx import GraphModule

from onenet.calibration.scheme import operator_name
from onenet.lowering.graph import is_float
from onenet.lowering.operators import (
    DEQUANTIZE,
    DEQUANTIZE_CHANNELS,
    FIXED_SCALE,
    NEW_SCALE,
    SAME_SCALE,
    WEIGHTED,
    aten,
)

KNOWN = {*SAME_SCALE, *NEW_SCALE, *FIXED_SCALE, aten.cat.default, aten.argmax.default}


def float_operators(program: nn.Module) -> list[str]:
    """Operators that compute in float although the program is quantized: they become float islands in an artifact."""
    assert isinstance(program, GraphModule)
    computing = [node for node in program.graph.nodes if str(node.target).startswith("aten.") and is_float(node)]
    floats = [
        node
        for node in computing
        if node.target not in KNOWN
        and not (node.target in WEIGHTED and [each.target for each in node.args[:2]] == [DEQUANTIZE, DEQUANTIZE_CHANNELS])
    ]
    return sorted({operator_name(node) for node in floats})
