"""The rules together: exact on every OneNet and on other people's networks, and proven."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.fx import Node
from torch.nn import functional as F

import onenet.lowering.rules
from onenet.errors import CheckError, RequestError
from onenet.lowering import RuleResult, lower_module
from onenet.lowering.driver import RULES, common_order, merged, run_rule, target_order
from onenet.lowering.graph import Graph
from onenet.lowering.rule import Rule
from onenet.lowering.rules import transposed_conv
from onenet.targets import TARGETS
from tests.conftest import awkward_onenet, shake
from tests.unit.lowering.graphs import IMAGE, Function, Net, conv, graph_of, operators, prove, stack

CLEAN = {"batch_norm", "pad", "conv_transpose2d", "sub", "div", "mul", "add", "channel_affine"}
"""What no lowered OneNet holds."""


LARGER, PAIR, TALL = (1, 3, 16, 24), (2, 3, 8, 8), (1, 3, 40, 8)


@pytest.mark.parametrize(
    ("variant", "kernel", "shape"),
    [
        *(("ed", 9, shape) for shape in (LARGER, PAIR, TALL)),  # whose convolutions along rows and columns know the sizes
        *(("ed", None, PAIR), ("e", None, TALL), ("e", 3, LARGER), ("e", 3, PAIR)),
    ],
)
def test_onenet_is_lowered_exactly(variant: str, kernel: int | None, shape: tuple[int, ...]) -> None:
    lowered = lower_module(awkward_onenet(variant, kernel=kernel), (torch.zeros(shape),))
    assert lowered.error <= 1e-12
    count = operators(lowered.module)
    assert not set(count) & CLEAN
    if kernel is None:
        assert set(count) == {"conv2d", "relu", "pixel_shuffle", "cat"}


@pytest.mark.parametrize(("variant", "channels"), [("ed", 1), ("e", 3), ("ed", 5), ("e", 1)])
def test_odd_channel_counts_and_one_channel(variant: str, channels: int) -> None:
    model = awkward_onenet(variant, channels_in=channels, width=3, classes=1, kernel=5)
    assert lower_module(model, (torch.zeros(1, channels, 16, 8),)).error <= 1e-12


@pytest.mark.parametrize("variant", ["ed", "e"])
def test_float32_result_equals_the_original(variant: str) -> None:
    model, x = awkward_onenet(variant), torch.rand(1, 3, 16, 24)
    with torch.no_grad():
        expected, result = model(x), lower_module(model, (x,)).module(x)
    assert float((expected - result).abs().max() / expected.abs().max()) <= 1e-5


def shared(net: nn.ModuleList, x: Tensor) -> Tensor:
    """One convolution and one BatchNorm, used twice on different values."""
    x = net[1](F.relu(net[0](x)))
    return net[1](F.relu(net[0](x)))


FOREIGN = {
    "in-place ReLU": stack(conv(), nn.ReLU(inplace=True), nn.BatchNorm2d(4), conv()),
    "modules used twice": Net(shared, conv(), nn.BatchNorm2d(4)),
    "left in training mode": stack(conv(), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5)).train(),
    "dilated with padding": stack(conv(kernel=3, padding=2, dilation=2), nn.BatchNorm2d(4), nn.ReLU()),
    "grouped before BatchNorm": stack(conv(groups=2), nn.ReLU(), nn.BatchNorm2d(4), conv()),
    "unshuffle and shuffle": stack(nn.PixelUnshuffle(2), nn.PixelShuffle(2)),
    "shuffle of a grouped convolution": stack(conv(4, 16, groups=2), nn.ReLU(), nn.PixelShuffle(2)),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_other_people_s_networks(name: str) -> None:
    prove(shake(FOREIGN[name]))


def test_the_users_module_is_left_as_it_was() -> None:
    module = stack(conv(), nn.BatchNorm2d(4)).train()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    lower_module(module, (torch.zeros(IMAGE),))
    assert module.training
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_shared_modules_are_folded_where_each_stands() -> None:
    lowered = lower_module(shake(Net(shared, conv(), nn.BatchNorm2d(4))), (torch.zeros(IMAGE),))
    assert operators(lowered.module) == {"conv2d": 3, "relu": 2}  # the last affine has nothing behind it to go into


def test_a_wrong_rule_is_caught_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    original = transposed_conv.RULE.rewrite

    def wrong(graph: Graph, place: Node) -> None:
        original(graph, place)
        for name, value in graph.module.named_buffers():
            if name.startswith("lowered_") and value.dim() == 4:
                value.copy_(value.flip(0))  # the channel order of the shuffle, reversed

    monkeypatch.setattr(transposed_conv.RULE, "rewrite", wrong)
    with pytest.raises(CheckError, match="rule transposed_conv changed the result"):
        lower_module(stack(nn.ConvTranspose2d(3, 3, 2, stride=2)), (torch.zeros(1, 3, 4, 4),))


def test_a_network_that_returns_nan_is_refused() -> None:
    with pytest.raises(RequestError, match="returns NaN or infinity on an ordinary input"):
        lower_module(Function(lambda x: x.sub(2).log()), (torch.zeros(IMAGE),))


# --- the loop ---------------------------------------------------------------


class Halves(Rule[Node]):
    """x * 8 -> x * 4 * 2, and so on: every rewrite makes another match; 6 is none that can be halved twice."""

    repeats = True

    def matches(self, graph: Graph) -> Iterator[Node]:
        return (node for node in graph.calls(torch.ops.aten.mul.Tensor) if isinstance(node.args[1], float) and node.args[1] > 2)

    def check(self, graph: Graph, place: Node) -> str | None:  # noqa: ARG002
        return None if place.args[1] in (4.0, 8.0) else "no power of two"

    def rewrite(self, graph: Graph, place: Node) -> None:
        source, factor = place.args
        assert isinstance(factor, float)
        with graph.before(place):
            half = graph.call(torch.ops.aten.mul.Tensor, source, factor / 2)
            graph.replace(place, graph.call(torch.ops.aten.mul.Tensor, half, 2.0))


class Once(Halves):
    repeats = False


def test_a_rule_repeats_until_nothing_applies_and_the_last_look_says_what_stays() -> None:
    module = Function(lambda x: x * 8.0 + x * 6.0)
    once, again = (run_rule(rule, graph_of(module, [torch.zeros(IMAGE)])) for rule in (Once(), Halves()))
    assert (once.applied, once.declined) == (1, {"no power of two": 1})
    assert (again.applied, again.declined) == (2, {"no power of two": 1})


def test_one_result_for_a_rule_that_ran_twice() -> None:
    first = RuleResult("layout", "a -> b", 1, {"x": 1})
    second = RuleResult("layout", "a -> b", 2, {"x": 2, "y": 1})
    other = RuleResult("winograd", "a -> b", 0)
    assert merged([first, other, second]) == (RuleResult("layout", "a -> b", 3, {"x": 3, "y": 1}), other)


# --- the folder -------------------------------------------------------------


@pytest.mark.parametrize("name", RULES.cards())
def test_every_rule_starts_with_its_before_and_after(name: str) -> None:
    assert " -> " in RULES.cards()[name].form


def test_every_rule_has_its_test_file() -> None:
    files = {path.stem.removeprefix("test_") for path in (Path(__file__).parent / "rules").glob("test_*.py")}
    assert files == set(RULES.cards())


def test_every_rule_has_a_place() -> None:
    used = {*common_order(), *(rule for target in TARGETS.cards() for rule in target_order(target))}
    assert used == set(RULES.cards().values())


def test_the_common_order_follows_the_steps() -> None:
    steps = [step for rule in RULES.cards().values() for step in rule.steps]
    assert len(set(steps)) == len(steps)
    names = [rule.name for rule in common_order()]
    assert len(names) == len(steps)
    assert names[:2] == ["index_unshuffle", "identity"]
    first, last = (place for place, name in enumerate(names) if name == "layout")
    assert names[first - 1] == "pointwise_image"
    assert last == len(names) - 1


TOY = '''"""x + 0 -> x"""

from onenet.lowering.operators import aten
from onenet.lowering.rule import Rule


class Toy(Rule):
    steps = (1,)

    def matches(self, graph):
        return (node for node in graph.calls(aten.add.Tensor) if node.args[1] in (0, 1))

    def check(self, graph, place):
        return "adds something" if place.args[1] else None

    def rewrite(self, graph, place):
        graph.replace(place, place.args[0])


RULE = Toy()
'''


def test_a_new_file_is_a_new_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy_rule.py").write_text(TOY)
    monkeypatch.setattr(onenet.lowering.rules, "__path__", [*onenet.lowering.rules.__path__, str(tmp_path)])
    lowered = lower_module(Function(lambda x: (x + 0).relu() + 1), (torch.zeros(IMAGE),))
    assert lowered.rules[0] == RuleResult("toy_rule", "x + 0 -> x", 1, {"adds something": 1})
