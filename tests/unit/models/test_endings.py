"""What a foreign network's output is: read off its last operators, and asked where they do not tell."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import onenet
from onenet.models.build import build
from onenet.models.endings import recorded
from onenet.models.output import Output
from onenet.tasks import task_of

SIZE = (8, 12)


class Net(nn.Module):
    """A convolution, and how it ends."""

    def __init__(self, end: Callable[[Tensor, Tensor], Tensor], channels: int = 3) -> None:
        super().__init__()
        self.conv, self.end = nn.Conv2d(3, channels, 3, padding=1), end

    def forward(self, image: Tensor) -> Tensor:
        return self.end(self.conv(image), image)


def larger(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear")


def over_pixels(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).softmax(-1).permute(0, 3, 1, 2)


def over_halves(x: Tensor) -> Tensor:
    return F.interpolate(F.avg_pool2d(x, 2).softmax(1), SIZE)


ENDS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], str, str, int, bool]] = {
    "nothing": (lambda x, _: x, "segmentation", "logits", 3, True),
    "relu": (lambda x, _: x.relu(), "segmentation", "logits", 3, True),
    "softmax": (lambda x, _: x.softmax(1), "segmentation", "probabilities", 3, False),
    "softmax of pixels": (lambda x, _: over_pixels(x), "segmentation", "probabilities", 3, False),
    "softmax of rows": (lambda x, _: x.softmax(3), "segmentation", "logits", 3, True),
    "sigmoid": (lambda x, _: torch.sigmoid(x), "segmentation", "probabilities", 3, False),
    "softmax, resized": (lambda x, _: over_halves(x), "segmentation", "probabilities", 3, False),
    "argmax": (lambda x, _: x.argmax(1), "segmentation", "labels", 3, False),
    "argmax of a row": (lambda x, _: x.mean((2, 3)).argmax(1), "classification", "labels", 3, False),
    "softmax of a row": (lambda x, _: x.mean((2, 3)).softmax(1), "classification", "probabilities", 3, False),
    "tanh": (lambda x, _: x.tanh(), "other", "scores", 0, False),
    "clamp": (lambda x, _: x.clamp(0, 1), "other", "scores", 0, False),
    "residual": (lambda x, image: image + x, "other", "scores", 0, False),
    "difference": (lambda x, image: image - x, "other", "scores", 0, False),
    "residual, limited": (lambda x, image: (image + x).clamp_(0, 1), "other", "scores", 0, False),
    "larger": (lambda x, _: larger(x), "other", "scores", 0, False),
    "larger sigmoid": (lambda x, _: larger(x).sigmoid(), "other", "scores", 0, False),
    "residual of the larger image": (lambda x, image: larger(image) + larger(x), "other", "scores", 0, False),
}


@pytest.mark.parametrize("name", ENDS)
def test_the_last_operators_tell_classes_from_colours(name: str) -> None:
    end, task, role, classes, asks = ENDS[name]
    model = build(Net(end), input_size=SIZE)
    (output,) = model.spec.outputs
    assert (model.spec.task, output.role, len(model.spec.classes)) == (task, role, classes)
    assert ("let the factory return a ModelSpec with the task other" in model.doubt) is asks
    assert output.name == {"scores": "output_0"}.get(role, role)


def test_more_channels_than_colours_are_classes_without_a_question() -> None:
    model = build(Net(lambda x, _: x.tanh(), 5), input_size=SIZE)
    assert (model.spec.task, model.spec.outputs[0].role, model.doubt) == ("segmentation", "logits", "")


@pytest.mark.parametrize("output", ["logits", "probabilities"])
def test_probabilities_are_not_made_again(output: Output) -> None:
    net = Net(lambda x, _: 4 * x.mean((2, 3))).eval()
    ended = Net(lambda x, _: (4 * x.mean((2, 3))).softmax(1)).eval()
    ended.load_state_dict(net.state_dict())
    image = torch.rand(1, 3, *SIZE)
    built = build(ended, input_size=SIZE, output=output)
    assert built.spec.outputs[0].role == "probabilities"
    assert torch.equal(built.module(image), build(net, input_size=SIZE, output="probabilities").module(image))


def test_what_runs_uses_them_as_they_are() -> None:
    from onenet.tasks.classification import probabilities_of

    model = build(Net(lambda x, _: (4 * x.mean((2, 3))).softmax(1)), input_size=SIZE)
    found = model.module(torch.rand(1, 3, *SIZE)).detach().numpy()
    assert task_of(model.spec.task).name == "classification"
    assert probabilities_of(found, model.spec.outputs[0].role, 3) is found


def test_a_network_that_chooses_its_way_by_values_is_built() -> None:
    net = Net(lambda x, _: torch.cond(x.sum() > 0, torch.sin, torch.cos, (x,)))
    assert build(net, input_size=SIZE).spec.outputs[0].shape == (1, 3, *SIZE)


def test_a_run_keeps_no_activation() -> None:
    _, calls = recorded(lambda: onenet.build(Net(lambda x, _: x), input_size=SIZE))
    held = [each for call in calls for each in (*call.taken, *call.made)]
    assert held
    assert not any(isinstance(each, Tensor) for each in held)
