"""expand before a sum, difference, product or quotient -> none: these repeat what is shorter themselves

``F.normalize`` divides by an expanded norm. litert-torch 0.10 cannot lay that out in NHWC.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.fx import Node

from onenet.lowering.graph import Graph, shape, source_of
from onenet.lowering.operators import aten
from onenet.lowering.rule import Rule

EXPANDS = (aten.expand.default, aten.expand_as.default)
BROADCASTING = (aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor)


class Broadcast(Rule[tuple[Node, Node]]):
    """An operator reads what was expanded."""

    steps = (9,)

    def matches(self, graph: Graph) -> Iterator[tuple[Node, Node]]:
        for expand in graph.calls(*EXPANDS):
            yield from ((expand, user) for user in list(expand.users) if user.target in BROADCASTING)

    def check(self, graph: Graph, place: tuple[Node, Node]) -> str | None:
        del graph
        expand, user = place
        read = [shape(source_of(each) if each is expand else each) for each in user.args if isinstance(each, Node)]
        if np.broadcast_shapes(*read) != shape(user):
            return "nothing else gives the result its shape"
        return None

    def rewrite(self, graph: Graph, place: tuple[Node, Node]) -> None:
        expand, user = place
        user.replace_input_with(expand, source_of(expand))
        graph.erase(expand)


RULE = Broadcast()
