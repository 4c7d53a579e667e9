"""Bias correction: rounding shifts the mean of each channel, and the bias can take that out again at no cost.

Layer after layer, each bias gets the difference between the float network's mean and the quantized one's, measured behind all
corrections made before it (M. Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, 2019,
section 4.2, with measured instead of modelled means).
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node
from torch.fx.node import map_arg

from onenet.calibration.record import CalibrationRecord, encoded
from onenet.calibration.scheme import is_layer
from onenet.errors import RequestError
from onenet.lowering.operators import aten


@torch.no_grad()
def correct_biases(wanted: dict[str, Tensor], quantized: GraphModule, inputs: list[Tensor]) -> dict[str, str]:
    """What to add to the bias of each layer of ``quantized``, base64 of float32 per channel.

    Args:
        wanted: the float network's mean of each channel of each layer on the same inputs, from ``run_with_means``.
        quantized: the network after calibration.
        inputs: complete inputs (N, C, H, W); the activations that all of them lead to are held in memory.
    """
    corrections: dict[str, str] = {}
    values: dict[Node, list[Any]] = {}
    last_use = {source: node for node in quantized.graph.nodes for source in node.all_input_nodes}
    for node in quantized.graph.nodes:
        if node.op == "output":
            break
        results = results_of(quantized, node, values, inputs)
        if node.name in wanted:
            shift = (wanted[node.name] - mean_of(node, results)).float()
            corrections[node.name] = encoded(shift.numpy())
            results = [each + along_channels(node, shift, each) for each in results]
        values[node] = results
        for source in node.all_input_nodes:
            if last_use[source] is node:
                del values[source]
    return corrections


def results_of(program: GraphModule, node: Node, values: dict[Node, list[Any]], inputs: list[Tensor]) -> list[Any]:
    """A node's result for each input."""
    if node.op == "placeholder":
        return list(inputs)
    if node.op == "get_attr":
        return [operator.attrgetter(str(node.target))(program)] * len(inputs)
    return [called(node, {each: values[each][place] for each in node.all_input_nodes}) for place in range(len(inputs))]


def called(node: Node, values: dict[Node, Any]) -> Any:
    args, kwargs = map_arg((node.args, node.kwargs), values.__getitem__)
    return node.target(*args, **kwargs)  # type: ignore[operator]  # every target is an operator or a function


@torch.no_grad()
def run_with_means(program: GraphModule, inputs: list[Tensor]) -> tuple[list[Any], dict[str, Tensor]]:
    """What the program returns for each input, and the mean of each channel of each layer over all inputs, in float64."""

    class Means(Interpreter):
        def run_node(self, n: Node) -> Any:
            result = super().run_node(n)
            if is_layer(n):
                found[n.name] = found.get(n.name, 0) + mean_of(n, [result]) / len(inputs)
            return result

    found: dict[str, Any] = {}
    return [Means(program).run(each) for each in inputs], found


def mean_of(node: Node, results: list[Tensor]) -> Tensor:
    """Mean over everything but the channels: the last axis of a linear layer, the second of a convolution."""
    rank = results[0].dim()
    channels = rank - 1 if node.target is aten.linear.default else 1
    others = [axis for axis in range(rank) if axis != channels]
    return torch.stack([each.double().mean(others) if others else each.double() for each in results]).mean(0)


def along_channels(node: Node, shift: Tensor, like: Tensor) -> Tensor:
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
        program.register_buffer(name, bias)
        with program.graph.inserting_before(node):
            constant = program.graph.get_attr(name)
        constant.meta["val"] = torch.empty_like(bias, device="meta")
        node.args = (*node.args[:2], constant, *node.args[3:])
    program.graph.lint()
    program.recompile()
