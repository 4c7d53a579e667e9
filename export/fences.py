"""Fences between int8 and float operators of a program that litert-torch reads.

Its converter (0.10) also computes in int8 what stands between int8 neighbours, and carries one's scale to the other: wrong for
an operator that stays in float (a softplus had 1 dB left), and an error where the scales differ ("same scale constraint"). An
optimization barrier where a value leaves int8, comes back to it or changes its scale keeps what the program says. So does one
before a division by what a convolution computes: the converter folds it into the weights as a division of it, ``2 / x`` as
``x / 2``.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node
from torch.fx.node import map_arg

from onenet.lowering.graph import type_of
from onenet.lowering.operators import (
    CARRIERS,
    CLAMPS,
    DEQUANTIZE,
    DEQUANTIZE_CHANNELS,
    FIXED_SCALE,
    IN_INT8,
    MOVES,
    PARTS,
    QUANTIZE,
    QUANTIZERS,
    RELU,
    SAME_SCALE,
    WEIGHTED,
    aten,
)

UNKNOWN = (aten.hardsigmoid.default,)
"""Operators that the int8 scheme knows and the converter does not."""
ON_THE_WAY = (operator.getitem, *RELU, *CLAMPS, *MOVES)
"""May stand between an int8 operator and the quantize operator behind it."""


def int8_operators(program: GraphModule) -> set[Node]:
    """The operators that read int8 alone and give int8 alone, a ReLU and moves on the way included."""
    known = {*IN_INT8, *CLAMPS, *CARRIERS, *PARTS}.difference(UNKNOWN)
    found = {node for node in program.graph.nodes if node.target in known}
    while wrong := {node for node in found if not (reads_int8(node, found) and gives_int8(node, found))}:
        found -= wrong
    return found


def reads_int8(node: Node, int8: set[Node]) -> bool:
    """Whether all that a node computes with is int8; constants beside it are the converter's own matter."""
    if node.target in WEIGHTED and node.all_input_nodes[1].target is not DEQUANTIZE_CHANNELS:
        return False
    if node.target is aten.adaptive_avg_pool2d.default and set(node.meta["val"].shape[2:]) != {1}:
        return False  # it becomes pools and sums with one scale for both sides; to a single place it is a mean, with two
    sources = (each for each in node.all_input_nodes if each.op != "get_attr")
    return all(each in int8 or each.target in (DEQUANTIZE, DEQUANTIZE_CHANNELS) for each in sources)


def gives_int8(node: Node, int8: set[Node]) -> bool:
    """Whether a node's value is quantized before anything is computed with it, and on the scale that it has, if it has one.

    What only moves a value that is int8 already may be read by any int8 operator.
    """
    scale, moved = scale_of(node) or fixed_scale_of(node), is_moved(node)
    return all(
        user.args[1:] == (scale or user.args[1:])
        if user.target is QUANTIZE
        else user in int8 and (moved or user.target in ON_THE_WAY)
        for user in node.users
    )


def is_moved(node: Node) -> bool:
    """Whether a node moves what a dequantize operator gives, and does nothing else."""
    source = node.all_input_nodes[0] if node.target in MOVES else None
    return source is not None and (source.target is DEQUANTIZE or is_moved(source))


def scale_of(node: Node) -> tuple[object, ...] | None:
    """The scale on which a node's value is, since it only moves or mixes values of that scale; None where it has a new one."""
    if node.target is DEQUANTIZE:
        return node.args[1:]
    return scale_of(node.all_input_nodes[0]) if node.target in (*SAME_SCALE, *CARRIERS, *PARTS) else None


def fixed_scale_of(node: Node) -> tuple[object, ...] | None:
    """The scale that a kernel's results have whatever a program says; None where it takes any."""
    return (*FIXED_SCALE[node.target], -128, 127, torch.int8) if node.target in FIXED_SCALE else None


def divides_by(node: Node) -> object:
    """What a node divides by; None where it does not divide."""
    return node.args[1] if node.target is aten.div.Tensor else node.args[0] if node.target is aten.reciprocal.default else None


def is_index(node: Node) -> bool:
    """Whether a call gives integers, as the place of the largest value: the same for int8 and for floats."""
    return type_of(node) in (torch.int32, torch.int64)


class Fenced(Interpreter):
    """Runs a program operator by operator, with a fence at every edge that ``fenced`` names."""

    def __init__(self, program: GraphModule) -> None:
        super().__init__(program)
        self.int8 = int8_operators(program)
        self.behind: dict[Node, Tensor] = {}
        """One fence for all readers: the converter loses count of a value that is read twice (0.10)."""

    def fetch_args_kwargs_from_env(self, n: Node) -> tuple[Any, Any]:
        """What a node reads, through a fence where there is one."""

        def load(source: Node) -> Any:
            if not self.is_fenced(source, n):
                return self.env[source]
            if source not in self.behind:
                self.behind[source] = fence()(self.env[source])
            return self.behind[source]

        return map_arg(n.args, load), map_arg(n.kwargs, load)

    def is_fenced(self, source: Node, reader: Node) -> bool:
        """Whether a value leaves int8 on its way to a reader, comes to it, changes its scale, or is a divisor."""
        if source.target is DEQUANTIZE:
            return self.is_float(reader) or (reader.target is QUANTIZE and reader.args[1:] != source.args[1:])
        return (reader.target is QUANTIZE and self.is_float(source)) or divides_by(reader) is source

    def is_float(self, node: Node) -> bool:
        """Whether an operator computes with floats."""
        return node.op == "call_function" and node not in self.int8 and node.target not in QUANTIZERS and not is_index(node)


@functools.cache
def fence() -> Callable[[Tensor], Tensor]:
    """An operator that gives what it reads, and that litert-torch's converter does not look across."""
    from litert_converter.mlir.dialects import stablehlo  # seconds: only where something is converted
    from litert_torch._convert.fx_passes.optimize_layout_transposes_pass.layout_rewrite import rewriters
    from litert_torch.backend.lowerings import registry

    @torch.library.custom_op("onenet::fence", mutates_args=())
    def fence(value: Tensor) -> Tensor:
        return value.clone()

    fence.register_fake(torch.empty_like)
    kind = torch.ops.onenet.fence.default
    registry.lower(kind)(lambda _, value: stablehlo.optimization_barrier([value]))
    rewriters.register(kind)(lambda _: None)  # it is the same for NHWC
    result: Callable[[Tensor], Tensor] = kind
    return result
