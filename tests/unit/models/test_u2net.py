"""U²-Netp: the published parameter count, the published code's names, and its fused map."""

from __future__ import annotations

import torch

from onenet.models.scaled import Scaled
from onenet.models.u2net import SYSTEM, U2Net


def test_the_published_size_and_names() -> None:
    with torch.device("meta"):
        state = U2Net(SYSTEM.published).state_dict()
        count = sum(p.numel() for p in U2Net(SYSTEM.published).parameters())
    assert count == 1_131_181  # 1.13 M, 4.7 MB in the paper
    expected = {
        "stage1.rebnconvin.conv_s1.weight": (64, 3, 3, 3),
        "stage1.rebnconv7.bn_s1.running_var": (16,),
        "stage1.rebnconv6d.conv_s1.weight": (16, 32, 3, 3),
        "stage4.rebnconv1d.conv_s1.weight": (64, 32, 3, 3),
        "stage6.rebnconv4.conv_s1.weight": (16, 16, 3, 3),
        "stage2d.rebnconvin.conv_s1.bias": (64,),
        "side6.weight": (1, 64, 3, 3),
        "outconv.weight": (1, 6, 1, 1),
    }
    assert {key: tuple(state[key].shape) for key in expected} == expected
    assert "stage4.rebnconv5.conv_s1.weight" not in state and "stage6d.rebnconvin.conv_s1.weight" not in state


def test_dilations() -> None:
    net = U2Net(Scaled(4, 1))
    dilations = {name: layer.dilation[0] for name, layer in net.named_modules() if isinstance(layer, torch.nn.Conv2d)}
    assert dilations["stage1.rebnconv7.conv_s1"] == 2 and dilations["stage1.rebnconv6.conv_s1"] == 1
    assert [dilations[f"stage5.rebnconv{i}.conv_s1"] for i in (1, 2, 3, 4)] == [1, 2, 4, 8]
    assert [dilations[f"stage5d.rebnconv{i}d.conv_s1"] for i in (1, 2, 3)] == [1, 2, 4]


def test_the_first_of_all_maps_is_what_is_deployed() -> None:
    torch.manual_seed(0)
    config = Scaled(4, 1)
    one, all_maps = U2Net(config).eval(), U2Net(config, maps=True).eval()
    all_maps.load_state_dict(one.state_dict())
    image = torch.rand(1, 3, 32, 64)
    with torch.no_grad():
        found, maps = one(image), all_maps(image)
    assert len(maps) == 7 and torch.equal(maps[0], found)
    assert found.shape == (1, 1, 32, 64) and 0 < found.min() < found.max() < 1
