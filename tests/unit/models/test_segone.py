"""SegOne's denoiser: its signature, its max-pool, and that every input reaches the result."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import onenet
from onenet.errors import RequestError
from onenet.models.segone import SYSTEM, Denoiser, SegOneConfig, channel_max
from tests.conftest import enliven


def feeds(config: SegOneConfig, count: int = 2) -> list[torch.Tensor]:
    torch.manual_seed(1)
    image, mask = torch.rand(count, config.channels_in, 8, 16), torch.randn(count, config.classes, 8, 16)
    return [image, mask, torch.randn(count, config.time), torch.randn(count, config.text)]


def small(**options: int) -> Denoiser:
    torch.manual_seed(0)
    net = Denoiser(SegOneConfig(**{"layers": 2, "width": 4, "text": 6, "time": 8, **options})).eval()
    enliven(net, *feeds(net.config))
    return net


def test_the_signature_has_four_inputs() -> None:
    model = onenet.build("segone", width=4, classes=2, random_weights=True, input_size=(16, 32))
    assert model.spec.task == "denoiser"
    assert [(each.name, each.role, each.shape) for each in model.spec.inputs] == [
        ("image", "image", (1, 3, 16, 32)),
        ("noisy", "mask", (1, 2, 16, 32)),
        ("time", "embedding", (1, 64)),
        ("text", "embedding", (1, 512)),
    ]
    assert [(each.name, each.role, each.shape) for each in model.spec.outputs] == [("estimate", "scores", (1, 2, 16, 32))]
    assert model.spec.source["model"] == "segone" and model.spec.source["parameters"]


def test_the_max_pool_is_channel_wise() -> None:
    x = torch.randn(2, 6, 3, 5, dtype=torch.float64)
    paired = x.reshape(2, 2, 3, 3, 5).transpose(1, 2)  # i beside i + 3
    sequence = paired.flatten(1, 2).permute(0, 2, 3, 1).reshape(2, 1, -1)
    expected = F.max_pool1d(sequence, 2).reshape(2, 3, 5, 3).permute(0, 3, 1, 2)
    torch.testing.assert_close(channel_max(x), expected)


def test_every_kernel_is_one_pixel() -> None:
    flat = [layer for layer in small().modules() if isinstance(layer, nn.Conv2d)]
    sequences = [layer for layer in small().modules() if isinstance(layer, nn.Conv1d)]
    assert [layer.kernel_size for layer in flat] == [(1, 1)]
    assert all(layer.kernel_size == layer.stride or layer.kernel_size == (1,) for layer in sequences)


@pytest.mark.parametrize("place", range(4))
@torch.no_grad()
def test_every_input_reaches_the_result(place: int) -> None:
    net = small()
    given = feeds(net.config)
    before = net(*given)
    assert before.shape == (2, 1, 8, 16)
    given[place] = given[place] + 0.5
    assert (net(*given) - before).abs().max() > 1e-4


@torch.no_grad()
def test_the_condition_is_added_to_the_latent_and_to_every_skip() -> None:
    net = small(layers=3)
    given = feeds(net.config)
    before = net(*given)
    for level in net.condition.levels:
        weight = level.weight.clone()
        level.weight.zero_()
        assert (net(*given) - before).abs().max() > 1e-5
        level.weight.copy_(weight)
    assert len(net.condition.levels) == 3


def test_a_checkpoint_of_its_own_loads(tmp_path: Path) -> None:
    net = small(classes=2)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    model = onenet.build("segone", weights=tmp_path / "net.pth", input_size=(8, 16))
    assert [each.shape for each in model.spec.inputs] == [(1, 3, 8, 16), (1, 2, 8, 16), (1, 8), (1, 6)]
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in model.module.state_dict().items())


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    torch.save({"a.weight": torch.zeros(2)}, tmp_path / "a.pth")
    with pytest.raises(RequestError, match=r"not a SegOne's: it lacks image\.first"):
        onenet.build("segone", weights=tmp_path / "a.pth", input_size=(32, 32))
    with pytest.raises(RequestError, match="width and time must be even, found 3"):
        SYSTEM.configure({}, None, None, {"width": 3})
    with pytest.raises(RequestError, match="--kernel shape OneNets; a SegOne has no"):
        SYSTEM.configure({}, None, None, {"kernel": 9})
    with pytest.raises(RequestError, match="output 'labels' needs class logits alone"):
        onenet.build("segone", width=4, random_weights=True, input_size=(16, 16), output="labels")
