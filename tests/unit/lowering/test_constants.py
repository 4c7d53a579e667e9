"""What is computed from constants is one constant: exactly that one, and nothing that an input or a run changes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from onenet.lowering import constants, lower_module
from onenet.lowering.constants import fold_constants, store_integers
from onenet.lowering.graph import Graph
from onenet.lowering.operators import aten
from onenet.lowering.proof import asymmetric_probe, relative_difference
from onenet.lowering.trace import traced
from tests.conftest import shake
from tests.unit.lowering.graphs import EXACT, IMAGE, Function, calls, conv, operators, stack


def folded(module: nn.Module) -> Graph:
    """A network with its constants folded, which leaves it the same."""
    inputs = [torch.zeros(IMAGE)]
    graph, probe = Graph(traced(module, inputs)), asymmetric_probe(inputs)
    store_integers(graph)
    graph.to_float64()
    expected = graph.outputs(probe)
    fold_constants(graph)
    for _ in range(2):  # a constant that is written to would be another one in the second run
        assert relative_difference(expected, graph.outputs(probe)) <= EXACT
    return graph


def grid(x: Tensor) -> Tensor:
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, 8), torch.linspace(-1, 1, 12), indexing="ij")
    return x * torch.stack([rows, columns]).expand(2, -1, -1, -1).repeat(1, 2, 1, 1)


def sinusoids(x: Tensor) -> Tensor:
    places = torch.arange(12, dtype=torch.float32)[:, None] / 10000 ** (torch.arange(0, 8, 2).float() / 8)
    return x + torch.cat([places.sin(), places.cos()], 1).t()


def filled(x: Tensor) -> Tensor:
    canvas = torch.zeros(8, 12)
    canvas[0] = torch.linspace(0, 1, 12)
    canvas[:, 3] += 2
    return x + canvas


def triangle(x: Tensor) -> Tensor:
    scores = x.flatten(2)
    mask = torch.triu(torch.full((4, 4), float("-inf")), 1)
    return torch.softmax(scores @ scores.transpose(1, 2) + mask, -1)


def picked(x: Tensor) -> Tensor:
    return x[:, torch.arange(3, -1, -1)] * 2


CONSTANT: dict[str, tuple[Callable[[Tensor], Tensor], list[str]]] = {
    "a grid": (grid, ["mul"]),
    "sinusoids": (sinusoids, ["add"]),
    "filled piece by piece": (filled, ["add"]),
    "a triangular mask of -inf": (triangle, ["flatten", "transpose", "matmul", "add", "softmax"]),
    "an index": (picked, ["index", "mul"]),
    "zeros like the input": (lambda x: x.relu() + torch.zeros_like(x), ["relu", "add"]),
    "a value like another's": (lambda x: x * torch.full_like(x[:, :1], 2), ["mul"]),
    "new of a size": (lambda x: x + x.new_ones(4, 1, 1) * x.new_full((12,), 3), ["add"]),
    "a tensor of numbers": (lambda x: x - torch.tensor([0.4, 0.5, 0.6, 0.7]).view(1, 4, 1, 1), ["sub"]),
}


@pytest.mark.parametrize("name", CONSTANT)
def test_what_is_computed_from_nothing_is_stored(name: str) -> None:
    function, left = CONSTANT[name]
    assert calls(folded(Function(function)).finish()) == left


@pytest.mark.parametrize("normed", [parametrizations.spectral_norm, parametrizations.weight_norm])
def test_a_normed_weight_is_one_weight(normed: Callable[[nn.Module], nn.Module]) -> None:
    network = shake(stack(normed(conv(kernel=3, padding=1)), nn.BatchNorm2d(4), nn.ReLU()))
    lowered = lower_module(network, (torch.zeros(IMAGE),))
    assert lowered.error <= EXACT
    assert operators(lowered.module) == {"conv2d": 1, "relu": 1}
    assert {name for name, _ in lowered.module.named_parameters()} <= {"net.0.bias"}
    with torch.no_grad():
        image = torch.rand(IMAGE)
        torch.testing.assert_close(lowered.module(image), network.eval()(image), rtol=1e-5, atol=1e-5)


def test_a_constant_is_what_float64_makes_of_it() -> None:
    (new,) = [value for name, value in folded(Function(sinusoids)).module.named_buffers() if name.startswith("lowered_")]
    places = torch.arange(12, dtype=torch.float64)[:, None] / 10000 ** (torch.arange(0, 8, 2).double() / 8)
    torch.testing.assert_close(new, torch.cat([places.sin(), places.cos()], 1).t(), rtol=1e-15, atol=0)


def test_an_index_from_floats_is_what_float32_makes_of_it() -> None:
    """100 * 0.29 is 29 in float32 and 28.999999999999996 in float64."""

    def pick(x: Tensor) -> Tensor:
        share = torch.tensor([0.29]) * 100
        return x.flatten(1)[:, share.long()]

    (index,) = [value for value in folded(Function(pick)).module.buffers() if value.dtype == torch.int64]
    assert int((torch.tensor([0.29]).double() * 0 + 0.29) * 100) == 28
    assert index.tolist() == [29]


class Counting(nn.Module):
    """Changes its buffer in every run."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        return x * self.count.clamp(max=1)


def onto_canvas(x: Tensor) -> Tensor:
    canvas = torch.zeros(2, 4, 10, 14)
    canvas[:, :, 1:-1, 1:-1] = x
    return canvas * 2


def onto_zeros(x: Tensor) -> Tensor:
    canvas = torch.zeros_like(x)
    canvas[:, :, 1:] = x[:, :, :-1]
    return canvas * 2


def read_then_written(x: Tensor) -> Tensor:
    canvas = torch.ones(4, 1, 1)
    before = x * canvas
    canvas += 1
    return before + canvas


MOVING: dict[str, tuple[nn.Module, str]] = {
    "a buffer that counts": (Counting(), "clamp"),
    "a canvas for the input": (Function(onto_canvas), "zeros"),
    "zeros like the input, for it": (Function(onto_zeros), "full"),
    "read before it is written": (Function(read_then_written), "add_"),
}


@pytest.mark.parametrize("name", MOVING)
def test_what_is_written_to_stays(name: str) -> None:
    module, left = MOVING[name]
    inputs = [torch.zeros(IMAGE)]
    graph = Graph(traced(module, inputs))
    store_integers(graph)
    graph.to_float64()
    fold_constants(graph)
    assert left in calls(graph.finish())
    image = torch.rand(IMAGE, dtype=torch.float64)
    expected = module(image.float()) if name != "a buffer that counts" else image.float()
    torch.testing.assert_close(graph.outputs([image])[0].float(), expected)


def test_random_numbers_are_no_constant_and_dropout_in_evaluation_is_none() -> None:
    graph = Graph(traced(Function(lambda x: x * F.dropout(torch.ones(4, 1, 1) * 2, 0.5, training=False)), [torch.zeros(IMAGE)]))
    fold_constants(graph.to_float64())
    assert calls(graph.finish()) == ["mul"]
    graph = Graph(traced(Function(lambda x: x * torch.rand(4, 1, 1)), [torch.zeros(IMAGE)]))
    fold_constants(graph.to_float64())
    assert calls(graph.finish()) == ["rand", "mul"]


def test_a_large_constant_stays_computed_unless_it_is_as_large_already(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "LARGEST", 50)
    assert calls(folded(Function(lambda x: x + torch.zeros(8, 12))).finish()) == ["zeros", "add"]
    weight = nn.Parameter(torch.rand(8, 12))
    network = Function(lambda x: x + network.weight.exp())  # type: ignore[has-type]
    network.weight = weight  # type: ignore[assignment]
    assert calls(folded(network).finish()) == ["add"]


def test_weights_stay_under_their_names() -> None:
    graph = folded(conv())
    assert [node.target for node in graph.module.graph.nodes if node.op == "get_attr"] == ["weight", "bias"]
    (layer,) = graph.calls(aten.conv2d.default)
    assert graph.constant_value(layer.args[1]).dtype == torch.float64
