"""an output that is the input, or another output -> a reshape of it to its own shape

Core ML gives a value one name: an output that is the input cannot be converted, and of two that are one value the first loses
its name. coremltools removes a copy, but keeps a reshape.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch.fx import Node

from onenet.lowering.graph import Graph, shape
from onenet.lowering.operators import aten
from onenet.lowering.rule import Rule


class DistinctOutputs(Rule[int]):
    """Every output becomes a value of its own. A place is an output's number."""

    def matches(self, graph: Graph) -> Iterator[int]:
        for place, value in enumerate(results(graph)):
            if value.op == "placeholder" or value in results(graph)[:place]:
                yield place

    def rewrite(self, graph: Graph, place: int) -> None:
        given = results(graph)
        end = graph.module.graph.output_node()
        with graph.before(end):
            given[place] = graph.call(aten.reshape.default, given[place], list(shape(given[place])))
        end.args = (tuple(given) if isinstance(end.args[0], (tuple, list)) else given[0],)


def results(graph: Graph) -> list[Node]:
    """The nodes whose values the graph gives, in order."""
    given = graph.module.graph.output_node().args[0]
    return [each for each in (given if isinstance(given, (tuple, list)) else [given]) if isinstance(each, Node)]


RULE = DistinctOutputs()
