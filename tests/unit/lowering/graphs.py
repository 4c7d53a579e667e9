"""Small networks, one rule at a time, and what tests of lowering ask of a graph."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from onenet.lowering import LoweredModule, RuleResult, arrange, lower_module
from onenet.lowering.driver import RULES, common_order, run_rule, target_order
from onenet.lowering.graph import Graph, name_of
from onenet.lowering.operators import aten
from onenet.lowering.proof import asymmetric_probe, relative_difference
from onenet.lowering.trace import traced
from onenet.targets import TARGETS
from tests.conftest import shake

ONENETS = [("ed", None), ("e", None), ("ed", 9), ("e", 3)]
"""Variant and kernel of OneNets that have every kind of layer between them."""
PIXEL_OPERATORS = {"pixel_shuffle", "pixel_unshuffle"}
IMAGE = (2, 4, 8, 12)
EXACT = 1e-12
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def operators(module: nn.Module) -> Counter[str]:
    """How often each operator is called."""
    return Counter(calls(module))


def calls(module: nn.Module) -> list[str]:
    """The operators that are called, in order."""
    assert isinstance(module, GraphModule)
    return [name_of(node) for node in module.graph.nodes if node.op == "call_function"]


def convolutions(module: nn.Module) -> list[Node]:
    assert isinstance(module, GraphModule)
    return [node for node in module.graph.nodes if node.op == "call_function" and node.target is aten.conv2d.default]


def multiplications(module: nn.Module) -> int:
    """Of all 2D convolutions, for one image."""
    sizes = [(node.all_input_nodes[1].meta["val"], node.meta["val"]) for node in convolutions(module)]
    return sum(weight.numel() * math.prod(value.shape[2:]) for weight, value in sizes)


def result_of(name: str, results: Sequence[RuleResult]) -> RuleResult:
    """What one rule did."""
    return next(each for each in results if each.rule == name)


@dataclass(frozen=True)
class Trial:
    """One rule run on one graph, which it left exact."""

    result: RuleResult
    before: Counter[str]
    module: GraphModule
    changed: bool

    @property
    def operators(self) -> Counter[str]:
        return operators(self.module)

    def left(self, *reasons: str) -> bool:
        """Whether the graph is unchanged, for these reasons; none where the rule matched nothing."""
        assert self.result.declined == Counter(reasons)
        assert self.operators == self.before
        return not self.changed and self.result.applied == 0


def run_on(graph: Graph, name: str, inputs: Sequence[Tensor]) -> Trial:
    """Run one rule on a graph and prove it."""
    probe = asymmetric_probe(inputs)
    if any(node.meta["val"].dtype == torch.float32 for node in graph.module.graph.nodes if node.op == "placeholder"):
        probe = [value.float() for value in probe]
    expected, before, text = graph.outputs(probe), operators(graph.module), str(graph.module.graph)
    result = run_rule(RULES.get(name, "rule"), graph)
    assert relative_difference(expected, graph.outputs(probe)) <= EXACT
    return Trial(result, before, graph.module, str(graph.module.graph) != text)


def awkward(module: nn.Module) -> nn.Module:
    """``shake``, and every BatchNorm with negative scales and one of zero."""
    generator = torch.Generator().manual_seed(1)
    for layer in shake(module).modules():
        if isinstance(layer, NORMS) and layer.affine:
            layer.weight.data.uniform_(-1.5, 1.5, generator=generator)
            layer.bias.data.normal_(generator=generator)
            layer.weight.data[0] = 0.0
    return module


def graph_of(module: nn.Module, inputs: Sequence[Tensor]) -> Graph:
    """A network just traced, in float64."""
    return Graph(traced(module, inputs)).to_float64()


def alone(name: str, module: nn.Module, *shapes: tuple[int, ...], behind: Sequence[str] = ()) -> Trial:
    """One rule on a network just traced, behind the rules that bring it into the form that this one looks for."""
    inputs = [torch.zeros(shape) for shape in shapes or (IMAGE,)]
    graph = graph_of(awkward(module), inputs)
    for each in behind:
        run_rule(RULES.get(each, "rule"), graph)
    return run_on(graph, name, inputs)


def lowered(module: nn.Module, shape: tuple[int, ...] = IMAGE) -> LoweredModule:
    """Every common rule on a network with statistics as training leaves them."""
    result = lower_module(awkward(module), (torch.zeros(shape),))
    assert result.error <= EXACT
    return result


def arranged(module: nn.Module, shape: tuple[int, ...], target: str = "tflite") -> GraphModule:
    """A target's form of a network; its outputs are compared with the network's own."""
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    form = arrange(lower_module(module, (image,)).module, (image,), target).module
    with torch.no_grad():
        torch.testing.assert_close(form(image), module.eval()(image), rtol=1e-5, atol=1e-5)
    return form


def prove(module: nn.Module, shape: tuple[int, ...] = IMAGE) -> None:
    """Every rule of every target together in float64, and the target's own form in float32."""
    for target in TARGETS.cards():
        rules = (*common_order(), *target_order(target))
        assert lower_module(module, (torch.zeros(shape),), rules).error <= EXACT
        arrange(lower_module(module, (torch.zeros(shape),)).module, (torch.zeros(shape),), target)


class Net(nn.Module):
    """Layers under ``net``, applied by a function."""

    def __init__(self, forward: Callable[[nn.ModuleList, Tensor], Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.net = nn.ModuleList(layers)
        self.function = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.net, x)


class Function(nn.Module):
    """A function of one input or more, without layers."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)


def in_turn(net: nn.ModuleList, x: Tensor) -> Tensor:
    """One layer behind the other."""
    for layer in net:
        x = layer(x)
    return x


def stack(*layers: nn.Module) -> Net:
    return Net(in_turn, *layers)


def sequence(net: nn.ModuleList, x: Tensor) -> Tensor:
    """The layers on (N, 1, H*W*C), pixel by pixel."""
    return in_turn(net, x.permute(0, 2, 3, 1).reshape(x.shape[0], 1, -1))


def conv(c_in: int = 4, c_out: int = 4, kernel: int = 1, **options: int) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, kernel, **options)  # type: ignore[arg-type]  # whole numbers all


def same(c_in: int, c_out: int, *kernel: int, bias: bool = True) -> nn.Conv2d:
    """A convolution whose output is as large as its input."""
    return nn.Conv2d(c_in, c_out, kernel, padding=tuple(size // 2 for size in kernel), bias=bias)
