"""What networks return: dictionaries, nested tuples, named tuples, data classes and None, as named tensors."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, namedtuple
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import onenet
from onenet.lowering.graph import layer_of
from onenet.lowering.proof import outputs
from onenet.models.build import build
from tests.unit.refused import refused

Pair = namedtuple("Pair", "logits features")


@dataclasses.dataclass
class Found:
    boxes: Tensor
    scores: Tensor | None = None


class Net(nn.Module):
    """Returns what ``make`` makes of a logit map and a feature map."""

    def __init__(self, make: Callable[[Tensor, Tensor], object]) -> None:
        super().__init__()
        self.body, self.head, self.make = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1), make

    def forward(self, image: Tensor) -> object:
        features = self.body(image)
        return self.make(self.head(features), features)


@pytest.mark.parametrize(
    ("make", "names", "notes"),
    [
        (lambda a, b: {"out": a, "aux": b}, ["out", "aux"], []),
        (lambda a, _: OrderedDict(out=a, aux=None), ["out"], ["Net returns None for aux; left out"]),
        (lambda a, b: (a, [b, {"deep": a}]), ["output_0", "output_1_0", "output_1_1_deep"], []),
        (lambda a, b: Pair(a, b), ["logits", "features"], []),
        (lambda a, b: Found(a, b), ["boxes", "scores"], []),
        (lambda a, _: Found(a), ["boxes"], ["Net returns None for scores; left out"]),
        (lambda a, _: (None, a), ["logits"], ["Net returns None for output_0; left out"]),
        (lambda a, b: {"image": a, "p/2": b, "p.2": a}, ["image_1", "p_2", "p_2_1"], []),
        (lambda a, b: {0: a, 1: b}, ["output_0", "output_1"], []),
        (lambda a, b: (a, b), ["output_0", "output_1"], []),
        (lambda a, _: a, ["logits"], []),
    ],
)
def test_every_tensor_has_a_name(make: Callable[[Tensor, Tensor], object], names: list[str], notes: list[str]) -> None:
    torch.manual_seed(0)
    net = Net(make)
    before = dict(net._forward_hooks)
    model = build(net, input_size=(4, 6))
    assert [each.name for each in model.spec.outputs] == names
    assert list(model.notes) == notes
    assert net._forward_hooks == before  # the user's own module is left as it was
    image = torch.rand(1, 3, 4, 6)
    expected = [net.head(net.body(image)), net.body(image)]
    for spec, value in zip(model.spec.outputs, outputs(model.module, [image]), strict=True):
        torch.testing.assert_close(value, expected[0 if spec.shape[1] == 2 else 1])


@pytest.mark.filterwarnings("ignore:Net returns None")
def test_layers_keep_their_paths() -> None:
    lowered = onenet.lower(build(Net(lambda a, b: {"out": a, "aux": [b, None]}), input_size=(4, 6)))
    graph = lowered.module.graph  # type: ignore[union-attr]  # lowered
    assert {layer_of(node) for node in graph.nodes if node.op == "call_function"} == {"body", "head"}  # type: ignore[union-attr,operator]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda a, _: {"out": a, "size": (4, 6)}, "Net returns int among others; it may return tensors, and lists"),
        (lambda *_: "text", "Net returns str; it may return tensors"),
        (lambda *_: [], "Net returns no tensor"),
        (lambda *_: None, "Net returns no tensor"),
    ],
)
def test_what_is_no_tensor_is_refused(make: Callable[[Tensor, Tensor], object], says: str) -> None:
    refused(says, Net(make), input_size=(4, 6))
