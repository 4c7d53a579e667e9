"""The classifier on a OneNet encoder: shapes, the task that is read off it, and segmentation checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import onenet
from onenet.errors import RequestError
from onenet.models.classifier import SYSTEM, Classifier, ClassifierConfig
from onenet.models.onenet import OneNet, OneNetConfig

NAME = "onenet-e4-classifier"


def test_parameters_are_the_encoders_and_one_linear_layers() -> None:
    with torch.device("meta"):
        net, whole = Classifier(ClassifierConfig()), OneNet(OneNetConfig("e"))
    encoder = sum(p.numel() for p in whole.encoder.parameters())
    assert sum(p.numel() for p in net.parameters()) == encoder + 1024 * 1000 + 1000


def test_it_is_built_as_a_classification() -> None:
    model = onenet.build(NAME, width=2, classes=7, random_weights=True, input_size=(32, 48))
    assert model.spec.task == "classification"
    assert [(each.role, each.shape) for each in model.spec.outputs] == [("logits", (1, 7))]
    assert len(model.spec.classes) == 7
    labels = onenet.build(NAME, width=2, classes=7, random_weights=True, input_size=(32, 48), output="labels")
    assert labels.spec.outputs[0].shape == (1,)


def test_the_logits_are_of_the_mean_of_the_coarsest_features() -> None:
    torch.manual_seed(0)
    net = Classifier(ClassifierConfig(layers=2, width=2, classes=3)).eval()
    image = torch.rand(2, 3, 8, 12)
    with torch.no_grad():
        features = net.encoder(image)[-1]
        expected = features.flatten(2).mean(2) @ net.head.weight.T + net.head.bias
        assert features.shape == (2, 8, 2, 3)
        torch.testing.assert_close(net(image), expected)


@pytest.mark.parametrize("kernel", [None, 9])
def test_an_encoder_of_a_segmentation_checkpoint_loads(kernel: int | None, tmp_path: Path) -> None:
    torch.manual_seed(1)
    state, file = OneNet(OneNetConfig("ed", width=2, kernel=kernel)).state_dict(), tmp_path / "segmentation.pth"
    torch.save(state, file)
    with pytest.raises(RequestError, match=r"hold the encoder only; .* whose head is untrained, give --random-weights"):
        onenet.build(NAME, weights=file, classes=5, input_size=(32, 32))
    model = onenet.build(NAME, weights=file, classes=5, random_weights=True, input_size=(32, 32))
    own = model.module.state_dict()
    assert all(torch.equal(own[key], value) for key, value in state.items() if key.startswith("encoder."))
    assert ("encoder.convs.spatial_0.conv.weight" in own) == (kernel is not None)


def test_a_checkpoint_of_its_own_loads(tmp_path: Path) -> None:
    torch.manual_seed(2)
    state, file = Classifier(ClassifierConfig(width=2, classes=6, kernel=3)).state_dict(), tmp_path / "classifier.pth"
    torch.save(state, file)
    model = onenet.build(NAME, weights=file, input_size=(32, 32))
    assert len(model.spec.classes) == 6
    assert all(torch.equal(model.module.state_dict()[key], value) for key, value in state.items())


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"classes": 1}, "at least 2 classes, found 1"),
        ({"kernel": 4}, "kernel must be an odd whole number"),
        ({"kernel": 3, "spatial": False}, "both asked for"),
    ],
)
def test_what_does_not_fit_is_refused(asked: dict[str, object], says: str) -> None:
    with pytest.raises(RequestError, match=says):
        SYSTEM.configure({"layers": 4}, None, None, asked)


def test_foreign_checkpoints_and_configurations_are_refused(tmp_path: Path) -> None:
    torch.save({"a.weight": torch.zeros(2)}, tmp_path / "a.pth")
    with pytest.raises(RequestError, match=r"not a OneNet's: it lacks encoder\.bottleneck"):
        onenet.build(NAME, weights=tmp_path / "a.pth", input_size=(32, 32))
    with pytest.raises(RequestError, match="leave --config out"):
        SYSTEM.configure({}, {"name": "ONENET"}, None, {})
