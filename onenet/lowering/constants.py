"""What does not depend on the input is computed once: grids, weight and spectral normalisation, masks, sinusoidal embeddings.

Nothing is folded that draws random numbers, or that is written to with values of the input. A tensor that is filled piece by
piece is folded where all its pieces are constant.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from onenet.lowering.graph import Graph, arguments, shape, target_of, type_of
from onenet.lowering.operators import Operator, aten
from onenet.lowering.trace import is_random

LARGEST = 1 << 22
"""Elements that a constant may have that is larger than what it is made of: 16 MB. A larger one stays computed."""

OF_A_SHAPE: dict[Operator, int] = {
    **{aten.zeros_like.default: 0, aten.new_zeros.default: 0},
    **{aten.ones_like.default: 1, aten.new_ones.default: 1},
}
"""Operators that take nothing of a tensor but its shape or type -> the value that they fill with."""
VALUE_PLACE: dict[Operator, int] = {aten.full_like.default: 1, aten.new_full.default: 2}
"""The same, and which argument is the value."""


def store_integers(graph: Graph) -> None:
    """Put the values of constant whole numbers and truth values in, for a graph in its own types.

    An index or a mask that is computed from floats is what the network's own float32 makes it, not what float64 would.
    """
    name_shapes(graph)
    known = constants(graph.module)
    kept = {node for node in known if is_integer(node)}
    store(graph, known, [node for node in kept if node.op == "call_function"], kept)


def name_shapes(graph: Graph) -> None:
    """``zeros_like(x)`` and the like -> ``full``, which reads no tensor and so is a constant."""
    for node in list(graph.calls(*OF_A_SHAPE, *VALUE_PLACE)):
        target = target_of(node)
        value = OF_A_SHAPE[target] if target in OF_A_SHAPE else arguments(node)[VALUE_PLACE[target]]
        with graph.before(node):
            new = graph.call(aten.full.default, list(shape(node)), value)
        new.kwargs, new.meta["val"] = {"dtype": type_of(node)}, node.meta["val"]
        graph.replace(node, new)


def fold_constants(graph: Graph) -> None:
    """Replace whatever is computed from constants alone by its value, for a graph in float64."""
    known = constants(graph.module)
    store(graph, known, [node for node in known if node.op == "call_function"], set(known))
    for node in reversed(known):
        if node.op == "call_function" or not node.users:
            graph.module.graph.erase_node(node)
    read = {node.target for node in graph.module.graph.nodes if node.op == "get_attr"}
    for name in {str(node.target) for node in known if node.op == "get_attr"} - read:
        if "." not in name:  # the others go with their submodules
            delattr(graph.module, name)


def store(graph: Graph, known: list[Node], stored: list[Node], inside: set[Node]) -> None:
    """Give each node that does not stand ``inside`` the values of what it reads from ``stored``."""
    ends = [node for node in stored if type_of(node) and any(reader not in inside for reader in node.users)]
    if not ends:
        return
    values = evaluated(graph, known)
    for node in ends:
        with graph.before(node):
            new = graph.constant(values[node].clone())
        node.replace_all_uses_with(new, lambda reader: reader not in inside)


@torch.no_grad()
def evaluated(graph: Graph, known: list[Node]) -> dict[Node, Any]:
    """The value of every constant node, behind all that is written into it."""
    values: dict[Node, Any] = {}
    with graph.arithmetic():
        for node in known:
            if node.op == "get_attr":
                values[node] = graph.constant_value(node)
            else:
                given = map_arg((node.args, node.kwargs), values.__getitem__)
                values[node] = target_of(node)(*given[0], **given[1])
    return values


def constants(module: GraphModule) -> list[Node]:
    """The nodes whose values are the same in every run, in order: weights, and what is computed from them or from nothing."""
    nodes = list(module.graph.nodes)
    places = {node: place for place, node in enumerate(nodes)}
    roots = storage_of(nodes)
    writes = [(node, roots[into]) for node in nodes for into in written(node)]
    moving = {root for _, root in writes if root.op != "call_function"}  # a buffer that is written to changes from run to run
    while True:
        known = known_nodes(nodes, roots, moving)
        late = set()
        for node, root in writes:
            readers = [reader for each in nodes if roots[each] is root for reader in each.users if reader not in known]
            if node not in known or any(places[reader] < places[node] for reader in readers):
                late.add(root)
        if late <= moving:
            return list(known)
        moving |= late


def known_nodes(nodes: list[Node], roots: dict[Node, Node], moving: set[Node]) -> dict[Node, None]:
    """The constants where what is in ``moving`` is none."""
    known: dict[Node, None] = {}
    for node in nodes:
        if roots[node] in moving or not all(each in known for each in node.all_input_nodes):
            continue
        if (node.op == "get_attr" and type_of(node)) or (node.op == "call_function" and computes_a_constant(node)):
            known[node] = None
    return known


def computes_a_constant(node: Node) -> bool:
    """Whether an operator gives the same for the same, and nothing that is too large to store."""
    if node.target is operator.getitem:
        return True
    if not isinstance(node.target, OpOverload) or is_random(node):
        return False
    made_of = sum(elements(each) for each in node.all_input_nodes)
    return elements(node) <= max(LARGEST, made_of)


def storage_of(nodes: list[Node]) -> dict[Node, Node]:
    """The first node that holds the memory that a node's value lies in: what a view is a view of."""
    roots: dict[Node, Node] = {}
    attributes: dict[object, Node] = {}
    for node in nodes:
        root = attributes.setdefault(node.target, node) if node.op == "get_attr" else node
        if node.target is operator.getitem:
            root = roots[node.all_input_nodes[0]]
        for alias, value in aliased(node):
            if alias is not None and isinstance(value, Node):
                root = roots[value]
                break
        roots[node] = root
    return roots


def written(node: Node) -> Iterator[Node]:
    """The nodes into whose memory an operator writes."""
    for alias, value in aliased(node):
        if alias is not None and alias.is_write:
            yield from (each for each in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(each, Node))


def aliased(node: Node) -> list[tuple[Any, object]]:
    """What an operator's schema says of sharing memory with the result, and the argument, for each argument."""
    if not isinstance(node.target, OpOverload):
        return []
    return [(each.alias_info, value) for each, value in zip(node.target._schema.arguments, arguments(node), strict=True)]


def is_integer(node: Node) -> bool:
    """Whether a node's value holds whole numbers or truth values."""
    kind = type_of(node)
    return kind is not None and not kind.is_floating_point and not kind.is_complex


def elements(node: Node) -> int:
    """How many a node's value has; 0 where it is no tensor."""
    value = node.meta.get("val")
    return value.numel() if isinstance(value, Tensor) else 0
