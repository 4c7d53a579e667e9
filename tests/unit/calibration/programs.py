"""What the tests of calibration ask of a calibrated program."""

from __future__ import annotations

from collections import Counter

from torch import nn
from torch._ops import OpOverload
from torch.fx import GraphModule, Node

from onenet.lowering.graph import is_float, name_of
from onenet.lowering.operators import DEQUANTIZE, DEQUANTIZE_CHANNELS, IN_INT8, JOINED, QUANTIZE, QUANTIZERS


def float_operators(program: nn.Module) -> Counter[str]:
    """Operators that compute in float although the program is quantized: they become float islands in an artifact.

    Read off the quantize and dequantize operators around each, not off what the scheme says.
    """
    assert isinstance(program, GraphModule)
    computing = [node for node in program.graph.nodes if isinstance(node.target, OpOverload) and is_float(node)]
    return Counter(name_of(node) for node in computing if node.target not in QUANTIZERS and not in_integers(node))


def in_integers(node: Node) -> bool:
    """Whether runtimes make one integer operator of a node and the quantizers, and perhaps the ReLU, around it."""
    around = all(is_stored(each) for each in node.all_input_nodes) and all(stores(each) for each in node.users)
    return around and node.target in (*IN_INT8, *JOINED)


def is_stored(node: Node) -> bool:
    """Whether what an operator reads is int8, no float tensor, or the result that its ReLU is joined with."""
    if node.op == "get_attr" or not is_float(node) or node.target in (DEQUANTIZE, DEQUANTIZE_CHANNELS):
        return True
    return [each.target in JOINED for each in node.users] == [True] and node.op == "call_function" and is_stored_around(node)


def is_stored_around(node: Node) -> bool:
    """Whether all that a node reads is int8."""
    floats = [each for each in node.all_input_nodes if is_float(each) and each.op != "get_attr"]
    return all(each.target in (DEQUANTIZE, DEQUANTIZE_CHANNELS) for each in floats)


def stores(user: Node) -> bool:
    """Whether a user stores what it reads in int8: at once, or behind its ReLU."""
    return user.target is QUANTIZE or (user.target in JOINED and [each.target for each in user.users] == [QUANTIZE])
