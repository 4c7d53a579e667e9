"""What normalises by values that it computed: it stays in float as a whole, since no int8 scale fits what lies inside.

``(x - mean) / sqrt(var + eps)``, written by hand, divides by numbers that may be anything between eps and the square of the
largest value. In int8 each of its steps would be rounded, and small divisors to zero. So sums and products that lead to such an
operator alone stay in float with it, and so does what reads its results, until the values are those of an ordinary tensor.
"""

from __future__ import annotations

from torch.fx import GraphModule, Node

from onenet.lowering.graph import is_float
from onenet.lowering.operators import GATES, NEW_SCALE, PICKS, WIDE, aten

PRODUCTS = (aten.mul.Tensor,)


def float_islands(program: GraphModule) -> set[Node]:
    """The operators of a program that the scheme knows, and that are a part of such a computation; and its own."""
    found = {node for node in program.graph.nodes if is_wide(node)}
    known = [node for node in program.graph.nodes if node.target in (*NEW_SCALE, *PICKS) and not is_gated(node)]
    while more := {node for node in known if node not in found and (leads_in(node, found) or comes_out(node, found))}:
        found |= more
    return found


def is_wide(node: Node) -> bool:
    """Whether an operator's results, or what it divides by, may have any size."""
    last = node.args[1] if node.target is aten.div.Tensor else node.args[0] if node.target in WIDE else None
    return isinstance(last, Node) and is_computed(last)


def is_gated(node: Node) -> bool:
    """Whether a node is the product of a tensor and the gate that it opens itself, as SiLU is: both have int8 kernels."""
    read = node.all_input_nodes if node.target in PRODUCTS else []
    return any(each.target in GATES and each.all_input_nodes[0] in read for each in read)


def leads_in(node: Node, island: set[Node]) -> bool:
    """Whether nothing but an island reads a node. Moves of an int8 tensor are left to int8."""
    moved = node.target in PICKS and node.all_input_nodes[0].target not in NEW_SCALE
    return bool(node.users) and not moved and all(each in island for each in node.users)


def comes_out(node: Node, island: set[Node]) -> bool:
    """Whether a node computes with an island's results: one factor is enough, of what is added up all must be such."""
    read = [each for each in node.all_input_nodes if is_computed(each) and is_float(each)]
    inside = [each in island for each in read]
    if node.target in PICKS:
        return inside == [True] and any(each in island for each in node.users)
    return any(inside) if node.target in PRODUCTS else bool(inside) and all(inside)


def is_computed(node: Node) -> bool:
    """Whether a node is no constant."""
    return node.op != "get_attr"
