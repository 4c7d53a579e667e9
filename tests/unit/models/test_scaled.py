"""What FFNet, U²-Netp and BASNet share: any width and classes, checkpoints, refusals; and the maths of their ends."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch

import onenet
from onenet.errors import RequestError
from onenet.models import REGISTRY
from onenet.models.scaled import ImageNetNormalisation, ScaledSystem, object_or_classes

NAMES = ("ffnet34", "u2netp", "basnet")


def system(name: str) -> ScaledSystem:
    found = importlib.import_module(REGISTRY[name].builder).SYSTEM
    assert isinstance(found, ScaledSystem)
    return found


def network(name: str, **asked: object) -> torch.nn.Module:
    return system(name).create(system(name).configure({}, None, None, asked)).eval()


@pytest.mark.parametrize("name", NAMES)
def test_any_width_and_classes(name: str) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        found = network(name, width=2, classes=5)(torch.rand(2, 3, 64, 96))
    assert found.shape == (2, 5, 64, 96)


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_of_its_own_loads(name: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    state, file = network(name, width=2, classes=3).state_dict(), tmp_path / "net.pth"
    torch.save(state, file)
    model = onenet.build(name, weights=file, input_size=(32, 32))
    assert len(model.spec.classes) == 3
    assert all(torch.equal(value, state[key]) for key, value in model.module.state_dict().items())


@pytest.mark.parametrize("name", NAMES)
def test_what_does_not_fit_is_refused(name: str, tmp_path: Path) -> None:
    torch.save({"a.weight": torch.zeros(2)}, tmp_path / "a.pth")
    with pytest.raises(RequestError, match=r"the checkpoint is not of .*: it lacks"):
        onenet.build(name, weights=tmp_path / "a.pth", input_size=(32, 32))
    with pytest.raises(RequestError, match="--kernel shape OneNets"):
        network(name, kernel=9)
    with pytest.raises(RequestError, match="width must be a whole number of at least 1"):
        network(name, width=0)


def test_one_channel_is_a_probability_and_more_are_logits() -> None:
    x = torch.linspace(-4, 4, 24).reshape(1, 3, 2, 4)
    assert torch.equal(object_or_classes(x), x)
    assert torch.equal(object_or_classes(x[:, :1]), torch.sigmoid(x[:, :1]))


def test_normalisation_takes_each_colours_own_numbers() -> None:
    image = torch.rand(1, 3, 2, 2)
    found = ImageNetNormalisation()(image)
    expected = (image[0, 1, 0, 1] - 0.456) / 0.224
    torch.testing.assert_close(found[0, 1, 0, 1], expected)
    assert not ImageNetNormalisation().state_dict()
