"""The paper's U-Nets: its parameter counts, other people's encoders, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import onenet
from onenet.errors import RequestError
from onenet.models import REGISTRY
from onenet.models.unet import SYSTEM, UNet, UNetConfig

PUBLISHED = {"unet4": 31.04, "unet5": 124.42, "unet-resnet34": 25.05, "unet-resnet50": 74.07, "unet-mobilenet": 14.40}
"""Millions of parameters, paper table 2."""
CLASSIFIERS = {"unet-resnet34": 512 * 1000 + 1000, "unet-resnet50": 2048 * 1000 + 1000}
"""Parameters of ImageNet's classifier, which the paper counts and no segmentation network runs."""


def network(name: str, **asked: object) -> UNet:
    return SYSTEM.create(SYSTEM.configure(REGISTRY[name].options, None, None, asked))


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameter_counts_of_table_2(name: str) -> None:
    with torch.device("meta"):
        count = sum(p.numel() for p in network(name).parameters())
    assert round((count + CLASSIFIERS.get(name, 0)) / 1e6, 2) == PUBLISHED[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_any_width_and_classes(name: str) -> None:
    torch.manual_seed(0)
    net = network(name, width=2, classes=5).eval()
    high, wide = 2 * net.config.divisor, 3 * net.config.divisor
    with torch.no_grad():
        assert net(torch.rand(2, 3, high, wide)).shape == (2, 5, high, wide)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_checkpoint_of_its_own_loads(name: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    net, file = network(name, width=2, classes=3), tmp_path / "net.pth"
    torch.save(net.state_dict(), file)
    model = onenet.build(name, weights=file, input_size=(32, 32))
    assert [each.name for each in model.spec.classes] == ["class 0", "class 1", "class 2"]
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in model.module.state_dict().items())


def torchvision_resnet(width: int) -> dict[str, torch.Tensor]:
    """Keys and shapes as torchvision's ResNet-34 has them, its classifier too."""
    own = {key.removeprefix("encoder."): value for key, value in network("unet-resnet34", width=width).state_dict().items()}
    encoder = {key: value for key, value in own.items() if not key.startswith("decoder.")}
    return {**encoder, "fc.weight": torch.zeros(1000, 8 * width), "fc.bias": torch.zeros(1000)}


def test_torchvisions_names_of_layers() -> None:
    keys = torchvision_resnet(2)
    expected = {
        "conv1.weight": (2, 3, 7, 7),
        "bn1.running_var": (2,),
        "layer1.2.conv2.weight": (2, 2, 3, 3),
        "layer2.0.downsample.0.weight": (4, 2, 1, 1),
        "layer3.5.bn1.weight": (8,),
        "layer4.2.conv2.weight": (16, 16, 3, 3),
    }
    assert {key: tuple(keys[key].shape) for key in expected} == expected
    wide = network("unet-resnet50", width=2).state_dict()
    assert tuple(wide["encoder.layer1.0.downsample.0.weight"].shape) == (8, 2, 1, 1)
    assert tuple(wide["encoder.layer4.2.conv3.weight"].shape) == (64, 16, 1, 1)


def test_a_pretrained_encoder_needs_a_drawn_decoder(tmp_path: Path) -> None:
    torch.manual_seed(5)
    state, file = torchvision_resnet(2), tmp_path / "resnet34.pth"
    torch.save(state, file)
    with pytest.raises(RequestError, match=r"hold the encoder only; .* decoder is untrained, give --random-weights as well"):
        onenet.build("unet-resnet34", weights=file, input_size=(32, 32))
    model = onenet.build("unet-resnet34", weights=file, random_weights=True, input_size=(32, 32))
    assert torch.equal(model.module.state_dict()["encoder.layer3.1.conv1.weight"], state["layer3.1.conv1.weight"])
    assert model.spec.source["weights"] == "resnet34.pth, decoder random"


def test_a_mismatch_names_the_first_key(tmp_path: Path) -> None:
    state, file = torchvision_resnet(2), tmp_path / "resnet34.pth"
    state["layer2.1.bn2.weight"] = torch.zeros(5)
    torch.save(state, file)
    says = r"encoder.layer2.1.bn2.weight is expected with shape \(4,\), found \(5,\)"
    with pytest.raises(RequestError, match=says):
        onenet.build("unet-resnet34", weights=file, random_weights=True, input_size=(32, 32))


@pytest.mark.parametrize(
    ("name", "asked", "says"),
    [
        ("unet4", {"kernel": 9}, "--kernel shape OneNets"),
        ("unet4", {"spatial": False}, "--spatial shape OneNets"),
        ("unet4", {"width": 0}, "width must be a whole number of at least 1, found 0"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, asked: dict[str, object], says: str) -> None:
    with pytest.raises(RequestError, match=says):
        network(name, **asked)


def test_bad_configurations_are_refused() -> None:
    with pytest.raises(RequestError, match="supported: unet, resnet34, resnet50, mobilenet"):
        UNetConfig("vgg")
    with pytest.raises(RequestError, match="halves an image 5 times, found layers 4"):
        UNetConfig("resnet34", layers=4)


def test_foreign_checkpoints_and_configurations_are_refused(tmp_path: Path) -> None:
    torch.save({"a.weight": torch.zeros(2)}, tmp_path / "a.pth")
    with pytest.raises(RequestError, match="not a U-Net's with the encoder unet: it lacks"):
        onenet.build("unet4", weights=tmp_path / "a.pth", input_size=(32, 32))
    with pytest.raises(RequestError, match="leave --config out"):
        SYSTEM.configure(REGISTRY["unet4"].options, {"name": "ONENET"}, None, {})
