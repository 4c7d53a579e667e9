"""FFNet: the up-head's widths, and that torchvision's encoder checkpoints fit."""

from __future__ import annotations

from pathlib import Path

import torch

import onenet
from onenet.models.ffnet import SYSTEM, FFNet
from onenet.models.scaled import Scaled


def test_the_heads_widths() -> None:
    with torch.device("meta"):
        head = FFNet(SYSTEM.published).decoder
    assert [each[0].out_channels for each in head.adapt] == [64, 128, 256, 512]
    assert [each[0].out_channels for each in head.smooth] == [128] * 4
    assert (head.classes[0][0].in_channels, head.classes[0][0].out_channels) == (512, 512)
    assert head.classes[1].out_channels == 19


def test_coarse_features_reach_finer_levels() -> None:
    torch.manual_seed(0)
    head = FFNet(Scaled(2, 3)).decoder.eval()
    features = [torch.rand(1, 2 * 2**i, 16 // 2**i, 16 // 2**i) for i in range(4)]
    with torch.no_grad():
        before = head(features)
        for i in range(4):
            changed = [each + (k == i) for k, each in enumerate(features)]
            assert head(changed).shape == before.shape == (1, 3, 16, 16)
            assert not torch.allclose(head(changed), before)


def test_torchvisions_encoder_fits(tmp_path: Path) -> None:
    torch.manual_seed(1)
    own = {key: value for key, value in FFNet(Scaled(2, 3)).state_dict().items() if key.startswith("encoder.")}
    state = {key.removeprefix("encoder."): value for key, value in own.items()}
    torch.save({**state, "fc.weight": torch.zeros(1000, 16), "fc.bias": torch.zeros(1000)}, tmp_path / "resnet34.pth")
    model = onenet.build("ffnet34", weights=tmp_path / "resnet34.pth", random_weights=True, input_size=(32, 32))
    assert model.spec.source["weights"] == "resnet34.pth, decoder random"
    assert all(torch.equal(value, model.module.state_dict()[key]) for key, value in own.items())
