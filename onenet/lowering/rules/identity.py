"""dropout in evaluation mode, alias, detach -> nothing: what gives its input back

Between quantized operators it would stay in float, and part them.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch.fx import Node

from onenet.lowering.graph import Graph, arguments, source_of
from onenet.lowering.operators import aten
from onenet.lowering.rule import Rule

DROPOUTS = (aten.dropout.default, aten.dropout_.default, aten.feature_dropout.default, aten.alpha_dropout.default)
IDENTITIES = (aten.alias.default, aten.detach.default, aten.detach_.default)


class Identity(Rule[Node]):
    """An operator that returns its input disappears."""

    steps = (8,)

    def matches(self, graph: Graph) -> Iterator[Node]:
        return graph.calls(*DROPOUTS, *IDENTITIES)

    def check(self, graph: Graph, place: Node) -> str | None:
        del graph
        drops = place.target in DROPOUTS and arguments(place)[2] and arguments(place)[1] > 0
        return "drops values at random" if drops else None

    def rewrite(self, graph: Graph, place: Node) -> None:
        graph.replace(place, source_of(place))


RULE = Identity()
