"""The graph that rules rewrite: shapes, constants, and what goes when nobody uses it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from onenet.errors import RequestError
from onenet.lowering.graph import (
    Graph,
    arguments,
    channel_affine,
    copied,
    layer_of,
    name_of,
    parts_of,
    shape,
    source_of,
    spread,
    target_of,
)
from onenet.lowering.operators import aten
from tests.unit.lowering import graphs
from tests.unit.lowering.graphs import IMAGE, Function, calls, stack


def graph_of(module: nn.Module) -> Graph:
    return graphs.graph_of(module, [torch.zeros(IMAGE)])


def test_every_node_knows_its_shape_in_float64() -> None:
    graph = graph_of(stack(nn.Conv2d(4, 5, 3), nn.ReLU()))
    (relu,) = graph.calls(aten.relu.default)
    assert shape(relu) == (2, 5, 6, 10)
    assert relu.meta["val"].dtype == torch.float64
    assert relu.meta["val"].device.type == "meta"


def test_what_cannot_be_traced_is_refused() -> None:
    with pytest.raises(RequestError, match=r"torch\.export cannot trace Function"):
        graph_of(Function(lambda x: x if float(x.sum()) > 0 else -x))


def test_a_copy_goes_under_rewrite() -> None:
    module = graph_of(nn.ReLU()).finish()
    graph = Graph.of(module)
    (relu,) = graph.calls(aten.relu.default)
    graph.replace(relu, source_of(relu))
    assert (calls(graph.finish()), calls(module)) == ([], ["relu"])


def test_calls_leaves_out_what_was_erased_meanwhile() -> None:
    graph = graph_of(Function(lambda x: x.relu().relu().relu()))
    first, _, third = graph.calls(aten.relu.default)
    seen = []
    for node in graph.calls(aten.relu.default):
        seen.append(node)
        if node is first:
            graph.replace(next(iter(node.users)), node)
    assert seen == [first, third]


def test_a_new_node_has_its_shape_and_a_constant_its_own_name() -> None:
    graph = graph_of(nn.ReLU())
    (relu,) = graph.calls(aten.relu.default)
    with graph.before(relu):
        scale, shift = graph.constant(torch.ones(4).double()), graph.constant(torch.zeros(4).double())
        new = graph.call(channel_affine, source_of(relu), scale, shift)
    assert shape(new) == IMAGE
    assert scale.target != shift.target
    assert graph.value(scale) is not None
    assert graph.value(new) is None
    assert graph.value(3) is None
    graph.replace(relu, new)
    assert calls(graph.finish()) == ["channel_affine"]


def test_a_new_node_is_a_part_of_the_layer_in_front_of_which_it_stands() -> None:
    graph = graph_of(stack(nn.ReLU(), nn.Sequential(nn.Sigmoid())))
    (relu,), (sigmoid,) = graph.calls(aten.relu.default), graph.calls(aten.sigmoid.default)
    with graph.before(sigmoid):
        inner = graph.call(aten.neg.default, relu)
        with graph.before(relu):
            outer = graph.call(aten.neg.default, source_of(relu))
        last = graph.call(aten.neg.default, inner)
    found = [layer_of(each) for each in (relu, sigmoid, inner, outer, last)]
    assert found == ["net.0", "net.1.0", "net.1.0", "net.0", "net.1.0"]


def test_the_network_itself_has_no_path() -> None:
    (relu,) = graph_of(Function(lambda x: x.relu())).calls(aten.relu.default)
    assert layer_of(relu) == ""


def test_what_is_called_nowhere_counts_to_what_it_reads() -> None:
    graph = graph_of(stack(nn.ReLU(), nn.Sigmoid()))
    (sigmoid,) = graph.calls(aten.sigmoid.default)
    del sigmoid.meta["nn_module_stack"]
    assert layer_of(sigmoid) == "net.0"


def test_erase_takes_the_inputs_that_only_it_needed() -> None:
    graph = graph_of(Function(lambda x: x.relu().sigmoid() + x.relu()))
    (add,) = graph.calls(aten.add.Tensor)
    graph.replace(add, add.all_input_nodes[1])
    assert calls(graph.finish()) == ["relu"]


def test_a_node_s_parts() -> None:
    graph = graph_of(Function(lambda x: torch.cat([x, x.relu()], dim=1)))
    (cat,) = graph.calls(aten.cat.default)
    (relu,) = graph.calls(aten.relu.default)
    assert parts_of(cat) == [source_of(relu), relu]
    assert target_of(relu) is aten.relu.default
    assert name_of(relu) == "relu"
    assert arguments(cat)[1] == 1


def test_arguments_holds_the_defaults() -> None:
    graph = graph_of(Function(lambda x: torch.conv2d(x, torch.ones(3, 4, 1, 1))))
    (conv,) = graph.calls(aten.conv2d.default)
    _, _, bias, stride, padding, dilation, groups = arguments(conv)
    assert bias is None
    assert [spread(each, 2) for each in (stride, padding, dilation)] == [[1, 1], [0, 0], [1, 1]]
    assert groups == 1


def test_spread() -> None:
    assert [spread(3, 2), spread([3], 2), spread([1, 2], 2)] == [[3, 3], [3, 3], [1, 2]]


def test_a_copy_of_a_module_has_weights_of_its_own() -> None:
    module = graph_of(nn.Conv2d(4, 4, 1)).finish()
    other = copied(module)
    next(other.parameters()).data.zero_()
    assert float(next(module.parameters()).detach().abs().sum()) > 0
