"""Bias correction: rounding shifts the mean of each channel, and the bias can take that out again at no cost.

Layer after layer, each bias gets the difference between the float network's mean and the quantized one's, measured behind all
corrections made before it (M. Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, 2019,
section 4.2, with measured instead of modelled means).
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Interpreter, Node
from torch.fx.node import map_arg

from onenet.calibration.record import CalibrationRecord, encoded
from onenet.calibration.scheme import is_layer
from onenet.errors import RequestError
from onenet.lowering.operators import aten
from onenet.lowering.threads import in_order

Inputs = tuple[Tensor, ...]
"""What a program is run on once: one tensor, batch included, for each input, in the order of the model's inputs."""
Value = Any
"""What a node of a program gives: a tensor, mostly, and otherwise whatever its operator returns."""


@dataclass(frozen=True)
class Corrected:
    """What a correction is, and what comes of it."""

    biases: dict[str, str]
    """Layer -> base64 of what is added to its bias, float32 per output channel."""
    outputs: list[list[Tensor]]
    """The network's outputs with it, for each of the inputs, those that only followed last."""


@torch.no_grad()
def correct_biases(
    wanted: dict[str, Tensor], quantized: GraphModule, inputs: Sequence[Inputs], followers: Sequence[Inputs] = ()
) -> Corrected:
    """What to add to the bias of each layer of ``quantized``.

    Args:
        wanted: the float network's mean of each channel of each layer on the same inputs, from ``run_with_means``.
        quantized: the network after calibration.
        inputs: what to run it on; the activations that all of them lead to are held in memory.
        followers: more inputs, which take the corrections as they are and have no part in them.
    """
    corrections: dict[str, str] = {}
    every = [*inputs, *followers]
    values: dict[Node, list[Value]] = {}
    nodes = list(quantized.graph.nodes)
    given = dict(zip((node for node in nodes if node.op == "placeholder"), zip(*every, strict=True), strict=True))
    last_use = {source: node for node in nodes for source in node.all_input_nodes}
    for node in nodes:
        if node.op == "output":
            break
        results = list(given[node]) if node in given else results_of(quantized, node, values, len(every))
        if node.name in wanted:
            shift = (wanted[node.name] - added(in_order(mean_in(node), results[: len(inputs)])) / len(inputs)).float()
            corrections[node.name] = encoded(shift.numpy())
            results = [each + along_channels(node, shift, each) for each in results]
        values[node] = results
        for source in node.all_input_nodes:
            if last_use[source] is node:
                del values[source]
    returned = nodes[-1].args[0]
    last = returned if isinstance(returned, (tuple, list)) else [returned]
    return Corrected(corrections, [[values[each][place] for each in last] for place in range(len(every))])


def results_of(program: GraphModule, node: Node, values: dict[Node, list[Value]], count: int) -> list[Value]:
    """A node's result for each of ``count`` inputs."""
    if node.op == "get_attr":
        return [operator.attrgetter(str(node.target))(program)] * count
    return in_order(lambda place: result_of(node, {each: values[each][place] for each in node.all_input_nodes}), range(count))


def result_of(node: Node, values: dict[Node, Value]) -> Value:
    """A node's result, computed from the results of the nodes that it reads."""
    args, kwargs = map_arg((node.args, node.kwargs), values.__getitem__)
    return node.target(*args, **kwargs)  # type: ignore[operator]  # every target is an operator or a function


class Means(Interpreter):
    """Runs a program once and takes the mean of each channel of each layer, in float64."""

    def __init__(self, program: GraphModule) -> None:
        super().__init__(program)
        self.means: dict[str, Tensor] = {}

    def run_node(self, n: Node) -> Value:
        """Run one node; where it is a layer, take the mean of each channel."""
        result = super().run_node(n)
        if is_layer(n):
            self.means[n.name] = mean_in(n)(result)
        return result


LayerMeans = dict[str, Tensor]
"""Of each layer, the mean of each channel, in float64."""


@torch.no_grad()
def run_with_means(program: GraphModule, inputs: Sequence[Inputs]) -> list[tuple[list[Tensor], LayerMeans]]:
    """The program's outputs for each of the inputs, and the mean of each channel of each layer."""

    def run(given: Inputs) -> tuple[list[Tensor], LayerMeans]:
        means = Means(program)
        results = means.run(*given)
        return list(results) if isinstance(results, (tuple, list)) else [results], means.means

    return in_order(run, inputs)


def averaged(means: Sequence[LayerMeans]) -> LayerMeans:
    """The mean over several inputs, at least one, of what each led to."""
    return {name: added(each[name] / len(means) for each in means) for name in means[0]}


def added(values: Iterable[Tensor]) -> Tensor:
    """The sum, one after the other."""
    return functools.reduce(operator.add, values)


def mean_in(node: Node) -> Callable[[Tensor], Tensor]:
    """A mean over everything but the channels: the last axis of a linear layer, the second of a convolution."""

    def mean(result: Tensor) -> Tensor:
        channels = result.dim() - 1 if node.target is aten.linear.default else 1
        others = [axis for axis in range(result.dim()) if axis != channels]
        return result.double().mean(others) if others else result.double()

    return mean


def along_channels(node: Node, shift: Tensor, like: Tensor) -> Tensor:
    """``shift``, one value per channel, in the shape that broadcasts over ``like``."""
    return shift if node.target is aten.linear.default else shift.reshape([1, -1] + [1] * (like.dim() - 2))


def shift_biases(program: GraphModule, record: CalibrationRecord) -> None:
    """Add a record's corrections to the biases of a traced program, in place.

    Raises:
        RequestError: a correction is not one number for each channel of its layer.
    """
    for node in list(program.graph.nodes):
        correction = record.bias(node.name) if is_layer(node) else None
        if correction is None:
            continue
        channels = operator.attrgetter(str(node.args[1].target))(program).shape[0]
        if len(correction) != channels:
            found = f"{len(correction)} biases for {node.name}, which has {channels} channels"
            raise RequestError(f"the calibration record has {found}; calibrate this model anew")
        bias = torch.from_numpy(correction.copy())
        old = node.args[2] if len(node.args) > 2 else None
        if old is not None:
            bias = bias + operator.attrgetter(str(old.target))(program).detach()
        # A new constant, because two layers may share one bias.
        name = f"bias_of_{node.name}"
        # A parameter: torchao puts one in its place where it folds a batch norm that lowering had to leave.
        program.register_parameter(name, nn.Parameter(bias, requires_grad=False))
        with program.graph.inserting_before(node):
            constant = program.graph.get_attr(name)
        constant.meta["val"] = torch.empty_like(bias, device="meta")
        node.args = (*node.args[:2], constant, *node.args[3:])
    program.graph.lint()
    program.recompile()
