"""What the scheme quantizes and what it leaves: operators in every neighbourhood, recipes that keep layers in float."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import Node

import onenet
from onenet.base.metrics import sqnr_db
from onenet.calibration.decide import decide
from onenet.calibration.observe import Calibration, observe
from onenet.calibration.quantized import InFloat, QuantizedModel
from onenet.calibration.recipe import INT8, W8, Recipe, Rule, x86_safe
from onenet.calibration.scheme import ASKED, BETWEEN, NO_FORM, layers_of
from onenet.lowering.graph import limits_of
from onenet.lowering.operators import DEQUANTIZE, DEQUANTIZE_CHANNELS, JOINED, QUANTIZE, RELU, WEIGHTED, aten
from onenet.lowering.proof import outputs
from onenet.model import Model
from onenet.models.build import build
from tests.conftest import smooth_images
from tests.unit.calibration.programs import float_operators

SIZE = (16, 16)
QUICK = replace(INT8, estimator="min-max", bias_correction=False)
IMAGES = list(smooth_images(6, 3, *SIZE))


class Net(nn.Module):
    """A network of one function over a few layers."""

    def __init__(self, function: Callable[[Any, Tensor], Tensor], **layers: nn.Module | nn.Parameter) -> None:
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def conv(channels_in: int, channels_out: int, kernel: int = 1, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2, **options)


def lowered(make: Callable[[], nn.Module]) -> Model:
    torch.manual_seed(0)
    return onenet.lower(build(make(), input_size=SIZE))


def nodes_of(model: QuantizedModel, *targets: Any) -> list[Node]:
    return [node for node in model.reference.graph.nodes if not targets or node.target in targets]


def quality(model: QuantizedModel) -> float:
    inputs = [torch.from_numpy(np.stack(IMAGES)[:1])]
    return sqnr_db(outputs(model.model.module, inputs)[0].numpy(), outputs(model.reference, inputs)[0].numpy())  # type: ignore[arg-type]


# --- a ReLU behind an operator ----------------------------------------------


def residual(join: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], nn.Module]:
    def forward(net: Any, x: Tensor) -> Tensor:
        y = F.relu(net.a(x))
        result: Tensor = net.c(F.relu(join(net.b(y), y)))
        return result

    return lambda: Net(forward, a=conv(3, 8, 3), b=conv(8, 8, 3), c=conv(8, 4))


@pytest.mark.parametrize("join", [torch.add, torch.sub, torch.mul, Tensor.add_], ids=lambda join: join.__name__)
def test_a_relu_shares_the_scale_of_the_operator_before_it(join: Callable[[Tensor, Tensor], Tensor]) -> None:
    made = onenet.calibrate(lowered(residual(join)), IMAGES, recipe=QUICK)
    first, last = nodes_of(made, *RELU)
    (joined,) = last.all_input_nodes
    assert joined.target not in (QUANTIZE, DEQUANTIZE)
    assert [user.target for user in last.users] == [QUANTIZE]
    (quantize,) = last.users
    assert quantize.args[2] == -128, "half of the steps are below zero"
    assert not float_operators(made.reference)
    assert first is not last


CLAMPS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu6": F.relu6,
    "hardtanh": F.hardtanh,
    "clamp": lambda x: x.clamp(-0.25, 0.75),
    "clamp, one end": lambda x: x.clamp(max=0.5),
}


def clamped(clamp: Callable[[Tensor], Tensor]) -> tuple[QuantizedModel, torch.fx.Node]:
    """A network with a clamp behind a layer, and what the layer's results are read by."""
    model = lowered(lambda: Net(lambda net, x: net.b(clamp(net.a(x))), a=conv(3, 8, 3), b=conv(8, 4)))
    made = onenet.calibrate(model, IMAGES, recipe=QUICK)
    layer = nodes_of(made, *WEIGHTED)[0]
    (reader,) = layer.users
    return made, reader


@pytest.mark.parametrize("name", CLAMPS)
def test_a_clamp_shares_the_scale_of_the_layer_before_it(name: str) -> None:
    made, clamp = clamped(CLAMPS[name])
    assert clamp.target in JOINED
    (quantize,) = clamp.users
    assert quantize.target is QUANTIZE
    assert not float_operators(made.reference)
    low, high = limits_of(clamp)
    site = made.record.sites[clamp.name]
    assert low <= site.low <= site.high <= high


def test_one_that_leaves_no_zero_has_a_scale_before_it() -> None:
    _, reader = clamped(lambda x: x.clamp(min=0.25))
    assert reader.target is QUANTIZE


def test_what_is_read_before_the_relu_too_has_a_scale_there() -> None:
    def forward(net: Any, x: Tensor) -> Tensor:
        y = net.a(x) + net.b(x)
        result: Tensor = net.c(F.relu(y)) + y
        return result

    made = onenet.calibrate(lowered(lambda: Net(forward, a=conv(3, 4, 3), b=conv(3, 4), c=conv(4, 4))), IMAGES, recipe=QUICK)
    (relu,) = nodes_of(made, *RELU)
    assert relu.all_input_nodes[0].target is DEQUANTIZE


# --- operators --------------------------------------------------------------


def squeeze_and_excite(net: Any, x: Tensor) -> Tensor:
    y = F.relu(net.a(x))
    result: Tensor = net.c(y * torch.sigmoid(net.b(y.mean([2, 3], keepdim=True))))
    return result


NETS: dict[str, Callable[[], nn.Module]] = {
    "sigmoid": lambda: Net(lambda net, x: net.b(torch.sigmoid(net.a(x))), a=conv(3, 8), b=conv(8, 4)),
    "softmax, shuffle": lambda: Net(
        lambda net, x: net.b(F.pixel_shuffle(torch.softmax(net.a(x), 1), 2)), a=conv(3, 8), b=conv(2, 4)
    ),
    "sigmoid into concat": lambda: Net(
        lambda net, x: net.b(torch.cat([torch.sigmoid(net.a(x)), x], 1)), a=conv(3, 8), b=conv(11, 4)
    ),
    "squeeze and excite": lambda: Net(squeeze_and_excite, a=conv(3, 8), b=conv(8, 8), c=conv(8, 4)),
    "leaky relu": lambda: Net(lambda net, x: net.b(F.leaky_relu(net.a(x), 0.2)), a=conv(3, 8), b=conv(8, 4)),
    **{
        function.__name__: lambda function=function: Net(lambda net, x: net.b(function(net.a(x))), a=conv(3, 8), b=conv(8, 4))
        for function in (F.silu, F.hardswish, F.hardsigmoid, torch.tanh, F.gelu)
    },
    "one layer twice": lambda: Net(lambda net, x: net.b(net.a(net.a(x))), a=conv(3, 3, 3), b=conv(3, 4)),
    "a constant in a concat": lambda: Net(
        lambda net, x: net.b(torch.cat([x, net.k], 1)), b=conv(4, 4), k=nn.Parameter(torch.rand(1, 1, *SIZE))
    ),
    "one tensor twice in a concat": lambda: Net(lambda net, x: net.b(torch.cat([x, x], 1)), b=conv(6, 4)),
    "relu and its input": lambda: Net(lambda net, x: net.b(F.relu(y := net.a(x)) + y), a=conv(3, 8, 3), b=conv(8, 4)),
    "pools and a difference": lambda: Net(
        lambda net, x: net.b(torch.cat([F.max_pool2d(F.relu(net.a(x)), 2), F.avg_pool2d(x, 2)], 1) - 0.1),
        a=conv(3, 4),
        b=conv(7, 4),
    ),
    "linear": lambda: Net(lambda net, x: net.b(net.a(x).mean([2, 3])), a=conv(3, 8, 3), b=nn.Linear(8, 4)),
    "grouped, no biases": lambda: Net(
        lambda net, x: net.b(net.a(x)), a=conv(3, 6, 3, groups=3, bias=False), b=conv(6, 4, bias=False)
    ),
    "bilinear": lambda: Net(lambda net, x: F.interpolate(net.a(x), scale_factor=2, mode="bilinear"), a=conv(3, 4)),
    "computed weights": lambda: Net(
        lambda net, x: net.b(F.conv2d(x, net.k * (1 + x.mean()))), b=conv(4, 4), k=nn.Parameter(torch.randn(4, 3, 1, 1))
    ),
    "no layer at all": lambda: Net(lambda _, x: F.avg_pool2d(x, 2)),
}


@functools.cache
def observed(name: str) -> Calibration:
    return observe(lowered(NETS[name]), IMAGES)


@pytest.mark.parametrize("name", NETS)
def test_every_layer_can_have_every_precision(name: str) -> None:
    calibration = observed(name)
    int8 = quality(decide(calibration, QUICK))
    assert int8 > 35
    assert quality(decide(calibration, W8)) > int8 - 6
    for _, layer in layers_of(calibration.program):
        for precision in ("float", "w8"):
            recipe = replace(QUICK, rules=(Rule(precision, name=layer), Rule("int8")))
            mixed = decide(calibration, recipe)
            assert quality(mixed) > int8 - 6
            (node,) = (each for each in nodes_of(mixed, *WEIGHTED) if each.name == layer)
            assert (node.args[1].target is DEQUANTIZE_CHANNELS) == (precision == "w8")  # type: ignore[union-attr]


def scales(node: Node) -> set[tuple[float, int]]:
    return {
        (each.args[1], each.args[2]) for each in [*node.all_input_nodes, *node.users] if each.target in (QUANTIZE, DEQUANTIZE)
    }  # type: ignore[misc]


PROBABILITY = (1 / 256, -128)


@pytest.mark.parametrize("name", ["sigmoid", "softmax, shuffle", "squeeze and excite"])
def test_probabilities_are_read_on_the_scale_they_are_written_on(name: str) -> None:
    model = decide(observed(name), QUICK)
    (node,) = nodes_of(model, torch.ops.aten.sigmoid.default, torch.ops.aten.softmax.int)
    while node.target not in (*WEIGHTED, torch.ops.aten.mul.Tensor):
        pairs = [user for user in node.users if user.target is QUANTIZE]
        assert [user.args[1:3] for user in pairs] == [PROBABILITY]
        (dequantize,) = pairs[0].users
        (node,) = dequantize.users
    assert PROBABILITY in scales(node)
    assert not [site for site in model.record.sites.values() if site.scale == 1 / 256]


FIXED: dict[str, tuple[float, int]] = {
    "silu": PROBABILITY,
    "hardswish": (1 / 255, -128),
    "hardsigmoid": (1 / 255, -128),
    "tanh": (1 / 128, 0),
}


@pytest.mark.parametrize("name", FIXED)
def test_gates_and_tanh_are_computed_in_int8_on_fixed_scales(name: str) -> None:
    model = decide(observed(name), QUICK)
    assert not float_operators(model.reference) and not model.in_float
    stored = {(node.args[1], node.args[2]) for node in nodes_of(model, QUANTIZE)}
    assert [each for each in stored if each == pytest.approx(FIXED[name])]
    named = {each for site in model.record.sites.values() for each in site.names}
    assert not {each for each in named if "sigmoid" in each or "tanh" in each}


def test_probabilities_in_a_concat_take_its_scale() -> None:
    model = decide(observed("sigmoid into concat"), QUICK)
    (node,) = nodes_of(model, torch.ops.aten.cat.default)
    assert len(scales(node)) == 1
    (site,) = [site for site in model.record.sites.values() if "sigmoid" in site.names]
    assert set(site.names) >= {"sigmoid", "cat"}
    assert (np.float32(site.scale), site.zero_point) in {(np.float32(scale), zero) for scale, zero in scales(node)}


def test_computed_weights_stay_in_float_and_are_listed() -> None:
    calibration = observed("computed weights")
    assert [name for _, name in layers_of(calibration.program)] == ["conv2d_1"]
    model = decide(calibration, QUICK)
    assert model.in_float == (InFloat("mean", 1, NO_FORM), InFloat("conv2d", 1, NO_FORM))


@pytest.mark.parametrize("name", NETS)
def test_what_is_said_to_stay_in_float_does(name: str) -> None:
    model = decide(observed(name), QUICK)
    assert float_operators(model.reference) == said_of(model)


@pytest.mark.parametrize("name", ["squeeze and excite", "sigmoid into concat", "relu and its input", "linear"])
def test_what_a_recipe_keeps_in_float_is_said(name: str) -> None:
    calibration = observed(name)
    for _, layer in layers_of(calibration.program):
        model = decide(calibration, replace(QUICK, rules=(Rule("float", name=layer), Rule("int8"))))
        assert float_operators(model.reference) == said_of(model)
        assert {each.why for each in model.in_float} <= {ASKED, BETWEEN}
        assert 0 < model.float_share < 1
    assert decide(calibration, W8).in_float == (), "of a recipe that quantizes weights alone, all is float"


def said_of(model: QuantizedModel) -> Counter[str]:
    return sum((Counter({each.operator: each.count}) for each in model.in_float), Counter())


# --- recipes ----------------------------------------------------------------


def branchy() -> nn.Module:
    """A skip connection, a concatenation and a pixel shuffle between four layers."""

    def function(net: Any, x: Tensor) -> Tensor:
        y = F.relu(net.a(x))
        joined = torch.cat([y, F.relu(net.b(y))], 1)
        result: Tensor = net.d(F.pixel_shuffle(net.c(joined), 2))
        return result

    return Net(function, a=conv(3, 6, 3), b=conv(6, 4), c=conv(10, 16), d=conv(4, 5))


@functools.cache
def observed_branchy() -> Calibration:
    return observe(lowered(branchy), IMAGES)


def computes_in_int8(node: Node) -> bool:
    """Reads int8 values (and weights), and gives int8 values; a ReLU behind a layer belongs to it."""
    before = node.all_input_nodes[0]
    if node.target in RELU and before.target in WEIGHTED:
        return computes_in_int8(before)
    kinds = [DEQUANTIZE, DEQUANTIZE_CHANNELS] if node.target in WEIGHTED else [DEQUANTIZE] * len(node.all_input_nodes)
    last = next(iter(node.users)) if next(iter(node.users)).target in RELU else node
    return [each.target for each in node.all_input_nodes[: len(kinds)]] == kinds and {each.target for each in last.users} == {
        QUANTIZE
    }


def float_nodes(model: QuantizedModel) -> set[str]:
    operators = [node for node in nodes_of(model) if str(node.target).startswith("aten.")]
    assert len(operators) == 8
    return {node.name for node in operators if not computes_in_int8(node)}


def with_layers(names: tuple[str, ...], precision: str) -> Recipe:
    return replace(QUICK, rules=(*(Rule(precision, name=name) for name in names), Rule("int8")))


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        ((), set()),
        (("conv2d",), {"conv2d", "relu"}),
        (("conv2d_1",), {"conv2d_1", "relu_1"}),  # the concatenation's other half is int8, so all of it is
        (("conv2d", "conv2d_1"), {"conv2d", "relu", "conv2d_1", "relu_1", "cat"}),
        (("conv2d_2",), {"conv2d_2", "pixel_shuffle"}),
        (("conv2d_3",), {"conv2d_3"}),
        (("conv2d_2", "conv2d_3"), {"conv2d_2", "pixel_shuffle", "conv2d_3"}),
        (("conv2d", "conv2d_3"), {"conv2d", "relu", "conv2d_3"}),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else "",
)
def test_what_a_layer_in_float_leads_to_is_float_up_to_the_next_layer(kept: tuple[str, ...], expected: set[str]) -> None:
    model = decide(observed_branchy(), with_layers(kept, "float"))
    assert float_nodes(model) == expected
    for node in nodes_of(model, *WEIGHTED):
        assert (node.all_input_nodes[1].target is DEQUANTIZE_CHANNELS) == (node.name not in kept)
    assert (model.outputs[0] is None) == ("conv2d_3" in kept)


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        (("conv2d_3",), {"conv2d_3"}),
        (("conv2d_2",), {"conv2d_2", "pixel_shuffle"}),
        (("conv2d_1",), set()),  # int8 before it and int8 behind it: the same arithmetic as an int8 layer's
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else "",
)
def test_int8_weights_in_float_arithmetic(kept: tuple[str, ...], expected: set[str]) -> None:
    model = decide(observed_branchy(), with_layers(kept, "w8"))
    assert float_nodes(model) == expected
    assert len(nodes_of(model, DEQUANTIZE_CHANNELS)) == 4
    assert (model.outputs[0] is None) == ("conv2d_3" in kept)


def test_a_recipe_without_int8_layers_quantizes_no_activation() -> None:
    for recipe in (W8, Recipe("plain", (Rule("float"),)), Recipe("both", (Rule("w8", name="conv2d"), Rule("float")))):
        model = decide(observed_branchy(), recipe)
        assert not nodes_of(model, QUANTIZE, DEQUANTIZE)
        assert model.record.sites == {}
        assert model.outputs == (None,)
    assert len(nodes_of(decide(observed_branchy(), W8), DEQUANTIZE_CHANNELS)) == 4


def test_a_layer_in_float_computes_exactly() -> None:
    plain = Recipe("plain", (Rule("float"),))
    model = decide(observed_branchy(), plain)
    inputs = [torch.from_numpy(np.stack(IMAGES)[:1])]
    assert torch.equal(outputs(model.reference, inputs)[0], outputs(observed_branchy().program, inputs)[0])


@pytest.mark.parametrize("limit", [127, 63, 7, 1])
def test_weights_stay_within_the_limit(limit: int) -> None:
    model = decide(observed_branchy(), replace(QUICK, weight_limit=limit))
    buffers = dict(model.reference.named_buffers())
    weights = [buffers[str(node.args[0].target)] for node in nodes_of(model, DEQUANTIZE_CHANNELS)]  # type: ignore[union-attr]
    assert len(weights) == 4
    for weight in weights:
        assert (weight.flatten(1).abs().amax(1) == limit).all()


def test_x86_safe_costs_little() -> None:
    safe, full = (quality(decide(observed_branchy(), recipe)) for recipe in (x86_safe(INT8), INT8))
    assert full - 8 < safe
    assert safe > 30


def test_scales_do_not_depend_on_what_else_is_in_float() -> None:
    whole = decide(observed_branchy(), QUICK).record.sites
    part = decide(observed_branchy(), replace(QUICK, rules=(Rule("float", name="conv2d_3"), Rule("int8")))).record.sites
    assert part.keys() == whole.keys() - {"conv2d_3"}
    assert {name: whole[name] for name in part} == part
    assert Counter(len(site.names) for site in whole.values()) == Counter([1, 3, 2, 1])


@pytest.mark.parametrize("off", [float("-inf"), -1e9])
@pytest.mark.parametrize("written", ["added", "filled"])
def test_what_a_mask_switches_off_has_no_part_in_a_range(written: str, off: float) -> None:
    def attend(net: Any, x: Tensor) -> Tensor:
        scores = net.a(x)
        hidden = torch.arange(8) > 5
        masked = scores + net.mask if written == "added" else scores.masked_fill(hidden[None, :, None, None], off)
        return net.b(masked.softmax(1))

    mask = nn.Parameter(torch.where(torch.arange(8) > 5, off, 0.0).reshape(1, 8, 1, 1))
    model = lowered(lambda: Net(attend, a=conv(3, 8), b=conv(8, 3), mask=mask))
    image = torch.from_numpy(IMAGES[0][None])
    quantized = onenet.calibrate(model, IMAGES)
    (softmax,) = nodes_of(quantized, aten.softmax.int)
    assert not computes_in_int8(softmax)
    assert sqnr_db(outputs(model.module, [image])[0].numpy(), outputs(quantized.reference, [image])[0].numpy()) > 30
