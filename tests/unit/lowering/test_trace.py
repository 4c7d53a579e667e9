"""Networks that name types, blocks without meaning, and what cannot be proven or traced: traced as written, named where not."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import onenet
from onenet.errors import RequestError
from onenet.lowering import arrange, lower_module
from onenet.lowering.double import in_float64
from onenet.lowering.driver import in_double
from onenet.lowering.graph import Graph, type_of
from onenet.lowering.operators import aten
from onenet.lowering.proof import asymmetric_probe, outputs, relative_difference
from onenet.lowering.trace import traced
from onenet.models.build import build
from onenet.spec import ModelSpec, TensorSpec
from onenet.targets import TARGETS
from tests.conftest import shake
from tests.unit.lowering.graphs import EXACT, IMAGE, Function, Net, calls, conv, operators, stack

IMAGE_OF_ZEROS = torch.zeros(IMAGE)


def coordinates(net: nn.ModuleList, x: Tensor) -> Tensor:
    ramp = torch.linspace(-1, 1, x.shape[3], dtype=x.dtype).expand(x.shape[0], 1, x.shape[2], -1)
    return net[1](net[0](torch.cat([x, ramp], 1)))


def gated(net: nn.ModuleList, x: Tensor) -> Tensor:
    place = torch.arange(8, dtype=torch.float32)[None]
    return net[0](x) * net[1](place.sin())[:, :, None, None]


def warped(net: nn.ModuleList, x: Tensor) -> Tensor:
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, 8), torch.linspace(-1, 1, 12), indexing="ij")
    grid = torch.stack([columns, rows], -1)[None] + 0.1 * net[0](x).tanh().permute(0, 2, 3, 1)
    return F.grid_sample(x, grid, align_corners=True)


def masked(net: nn.ModuleList, x: Tensor) -> Tensor:
    y = net[0](x)
    return y.masked_fill(y < 0, torch.finfo(y.dtype).min).softmax(1)


def safe_norm(net: nn.ModuleList, x: Tensor) -> Tensor:
    y = net[0](x).float()
    return net[1]((y * torch.rsqrt(y.var((2, 3), keepdim=True) + 1e-5)).to(x.dtype))


def blocks(net: nn.ModuleList, x: Tensor) -> Tensor:
    with torch.no_grad():
        y = net[0](x)
    with torch.autocast("cpu", enabled=False):
        return net[1](y.float()).relu()


def canvas(net: nn.ModuleList, x: Tensor) -> Tensor:
    whole = torch.zeros(2, 8, 10, 14)
    whole[:, :, 1:-1, 1:-1] = net[0](x)
    return net[1](whole)


TYPED: dict[str, nn.Module] = {
    "cast to float32 and back": Net(safe_norm, conv(4, 8), conv(8, 4)),
    "softmax in float32": Net(lambda net, x: net[1](F.softmax(net[0](x), 1, dtype=torch.float32).to(x.dtype)), conv(), conv()),
    "a grid in the input's type": Net(coordinates, conv(5, 8), nn.BatchNorm2d(8)),
    "arange in float32": Net(gated, conv(4, 8), nn.Linear(8, 8)),
    "a grid that is added to": Net(warped, conv(4, 2)),
    "the least float": Net(masked, conv(4, 8)),
    "half inside": Net(lambda net, x: net[1](net[0](x).half().float()), conv(4, 8), conv(8, 4)),
    "double inside": Net(lambda net, x: net[1]((net[0](x).double() * 3).float()), conv(4, 8), conv(8, 4)),
    "full_like": Net(lambda net, x: net[0](x + torch.full_like(x, 0.1)), conv()),
    "joined with zeros": Net(lambda net, x: net[0](torch.cat([x, torch.zeros(2, 4, 8, 12)], 1)), conv(8, 4)),
    "numbers made in forward": Net(lambda net, x: net[0](x - torch.tensor([0.125, 0.25, 0.375, 0.5]).view(1, 4, 1, 1)), conv()),
    "truth values scaled": Net(lambda net, x: net[0]((x > 0.5) * 0.1), conv()),
    "whole numbers divided": Net(lambda net, x: net[0]((x * 100).long() / 255), conv()),
    "an index": Net(lambda net, x: net[0](x[:, [2, 1, 0, 3]].gather(1, (x * 3.9).long())), conv()),
    "a canvas": Net(canvas, conv(4, 8), conv(8, 4)),
    "blocks without meaning": Net(blocks, conv(4, 8), conv(8, 4)),
}


@pytest.mark.parametrize("name", TYPED)
def test_networks_that_name_types_are_lowered_as_they_are_written(name: str) -> None:
    """Against the module itself: in float64, and each target's form in float32."""
    module = shake(TYPED[name]).eval()
    image = torch.rand(IMAGE, generator=torch.Generator().manual_seed(0))
    lowered = lower_module(module, (image,))
    assert lowered.refused is None
    assert lowered.error <= EXACT
    probe = asymmetric_probe([image])
    double = copy.deepcopy(module).double()
    with in_float64():
        expected = outputs(double, probe)
    assert relative_difference(expected, in_double(traced(module, (image,)), probe)[1]) <= EXACT
    rounds = name == "half inside"  # the deploy form does not round to half
    for target in TARGETS.cards():
        form = arrange(lowered.module, (image,), target).module
        assert {type_of(node) for node in form.graph.nodes}.isdisjoint({torch.float64, torch.float16})
        with torch.no_grad():
            torch.testing.assert_close(form(image), module(image), rtol=1e-4, atol=1e-2 if rounds else 1e-5)


def test_casts_and_checks_of_types_are_gone() -> None:
    graph = traced(Net(blocks, conv(4, 8), conv(8, 4)), (torch.zeros(IMAGE),))
    assert calls(graph) == ["conv2d", "conv2d", "relu"]


def test_a_cast_that_a_value_is_written_to_behind_is_kept() -> None:
    def write(x: Tensor) -> Tensor:
        return x.half().add_(1).float() + x

    graph = traced(Function(write), (torch.zeros(IMAGE),))
    with torch.no_grad():
        torch.testing.assert_close(graph(torch.ones(IMAGE)), torch.full(IMAGE, 3.0))


def test_the_signature_of_a_deploy_form_is_float32() -> None:
    image = TensorSpec("image", "image", (1, 4, 8, 12), "NCHW")
    both = (
        TensorSpec("wide", "scalar", (1, 4, 8, 12), dtype="float64"),
        TensorSpec("number", "scalar", (1, 8, 12), dtype="int64"),
    )
    spec = ModelSpec("types", "other", (image,), both)
    model = onenet.lower(build(lambda: (Function(lambda x: (x.double() * 2, x.argmax(1))), spec)))
    assert [each.dtype for each in model.spec.outputs] == ["float32", "int64"]
    assert [str(each.dtype) for each in model.module(*model.example())] == ["torch.float32", "torch.int64"]


# --- what cannot be proven ----------------------------------------------------


class Part(nn.Module):
    """A function behind a convolution, two levels down."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(), Function(function))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x).relu()


UNPROVEN: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "complex": (lambda x: torch.fft.irfft2(torch.fft.rfft2(x) * 0.5), r"complex numbers \(fft_rfft2 in body\.1\)"),
    "sizes": (lambda x: x + x[x > 0].mean(), r"sizes depend on values \(index in body\.1\)"),
    "random": (lambda x: x + torch.randn_like(x), r"draws random numbers \(randn_like in body\.1\)"),
    "choice": (lambda x: torch.cond(x.sum() > 0, torch.sin, torch.cos, (x,)), r"chooses its way by values \(cond in body\.1\)"),
}


@pytest.mark.parametrize("name", UNPROVEN)
def test_what_cannot_be_proven_is_left_as_it_is_and_says_why(name: str) -> None:
    function, reason = UNPROVEN[name]
    module = shake(Part(function)).eval()
    with pytest.warns(UserWarning, match=f"function is exported as it is, .* {reason}$"):
        model = onenet.lower(build(module_named("function", module), input_size=(8, 12)))
    assert model.lowering is not None
    assert model.lowering.as_dict()["rules"] == []
    assert model.lowering.as_dict()["refused"] == model.lowering.refused
    image = torch.rand(1, 4, 8, 12)
    for target in TARGETS.cards():
        form = arrange(model.module, (image,), target)
        assert form.rules == ()
        if name in ("complex", "sizes"):
            with torch.no_grad():
                torch.testing.assert_close(form.module(image), module(image))


def module_named(name: str, module: nn.Module) -> Callable[[], nn.Module]:
    """A factory of that name."""

    def factory() -> nn.Module:
        return module

    factory.__name__ = name
    return factory


def test_bits_of_a_float_are_left_as_they_are() -> None:
    """Read as whole numbers: there are twice as many in float64."""
    lowered = lower_module(Function(lambda x: x + (x.view(torch.int32) >> 23).float()), (torch.zeros(IMAGE),))
    assert lowered.refused is not None
    assert lowered.refused.startswith("it does not run in float64: ")


def test_dropout_and_attention_in_evaluation_draw_nothing() -> None:
    def attend(x: Tensor) -> Tensor:
        rows = F.dropout(x, 0.5, training=False).flatten(2)
        return F.scaled_dot_product_attention(rows, rows, rows)

    assert lower_module(Function(attend), (torch.zeros(IMAGE),)).refused is None


# --- NaN and infinity -----------------------------------------------------------


def test_a_mask_of_infinity_may_be_the_output() -> None:
    lowered = lower_module(
        shake(stack(conv(), nn.BatchNorm2d(4), Function(lambda x: x.masked_fill(x < 0, -torch.inf)))), (IMAGE_OF_ZEROS,)
    )
    assert lowered.error <= EXACT
    assert operators(lowered.module)["conv2d"] == 1


def test_values_outside_an_operator_s_domain_stay_nan() -> None:
    module = shake(stack(conv(), nn.BatchNorm2d(4), Function(torch.log))).eval()
    lowered = lower_module(module, (IMAGE_OF_ZEROS,))
    image = torch.rand(IMAGE)
    with torch.no_grad():
        expected = module(image)
        torch.testing.assert_close(lowered.module(image), expected, equal_nan=True, rtol=1e-4, atol=1e-4)
    assert 0 < int(expected.isnan().sum()) < expected.numel()


def test_weights_of_nan_are_named() -> None:
    network = stack(conv(), nn.ReLU())
    nn.init.constant_(network.net[0].bias, torch.nan)
    with pytest.raises(RequestError, match=r"NaN or infinity on an ordinary input; net\.0\.bias holds NaN"):
        lower_module(network, (IMAGE_OF_ZEROS,))


def test_an_infinite_constant_is_no_affine() -> None:
    """In a convolution's bias it would leave nothing of the other channels in int8."""
    mask = torch.tensor([0.0, -torch.inf, 0.0, 0.0]).view(4, 1, 1)
    lowered = lower_module(shake(Net(lambda net, x: (net[0](x) + mask).softmax(1), conv())), (IMAGE_OF_ZEROS,))
    assert lowered.error <= EXACT
    (layer,) = (node for node in lowered.module.graph.nodes if node.target is aten.conv2d.default)
    assert all(bool(Graph(lowered.module).constant_value(each).isfinite().all()) for each in layer.args[1:3])


def test_whole_numbers_are_no_affine() -> None:
    """``normalisation`` speaks of floats: a convolution takes no truth values."""
    lowered = lower_module(Function(lambda x: (x > 0.5) * 0.5 + x.long() // 2 * 2), (IMAGE_OF_ZEROS,))
    assert "conv2d" not in operators(lowered.module)


# --- what cannot be traced ------------------------------------------------------


def test_what_cannot_be_traced_names_the_part_and_the_line() -> None:
    module = Part(lambda x: x * 2 if x.mean() > 0 else x)
    with pytest.raises(
        RequestError, match=r"^torch\.export cannot trace Part: .*; in body\.1 at test_trace\.py:\d+: .*mean\(\) > 0"
    ) as caught:
        lower_module(module, (IMAGE_OF_ZEROS,))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fails", [False, True])
def test_a_module_is_left_as_it_was(fails: bool) -> None:
    module = Part((lambda x: x * 2 if x.mean() > 0 else x) if fails else torch.relu).train()
    module.body[0].eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    try:
        traced(module, (IMAGE_OF_ZEROS,))
    except RequestError:
        assert fails
    assert [each.training for each in module.modules()] == [True, True, False, True]
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in module.modules())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
