"""x.relu() -> x.relu().cumprod(0)

Exact where there is one image, and a form that torch.onnx and litert-torch cannot convert: a toy of a rule gone wrong.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch.fx import Node

from onenet.lowering.graph import Graph
from onenet.lowering.operators import aten
from onenet.lowering.rule import Rule


class Unruly(Rule[Node]):
    """A product over the one image that there is."""

    def matches(self, graph: Graph) -> Iterator[Node]:
        yield from graph.calls(aten.relu.default)

    def rewrite(self, graph: Graph, place: Node) -> None:
        readers = list(place.users)
        with graph.before(readers[0]):
            product = graph.call(aten.cumprod.default, place, 0)
        for reader in readers:
            reader.replace_input_with(place, product)


class Negated(Unruly):
    """x.relu() -> x.relu().neg().abs(), which converters take."""

    def rewrite(self, graph: Graph, place: Node) -> None:
        readers = list(place.users)
        with graph.before(readers[0]):
            result = graph.call(aten.abs.default, graph.call(aten.neg.default, place))
        for reader in readers:
            reader.replace_input_with(place, result)


class Broken(Unruly):
    """A rule with a fault of its own."""

    def rewrite(self, graph: Graph, place: Node) -> None:
        del graph
        raise IndexError(place.name)
