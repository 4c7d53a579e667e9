"""Artifacts whose wide 3x3 convolutions are computed by Winograd's method: right in every runtime, one partition, fp32 only."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import onenet
from onenet.base.quiet import quiet
from onenet.exporters.layers import Reference, compare
from onenet.exporters.rebuild import rebuild
from onenet.exporters.results import ExportedArtifact
from onenet.model import Model
from onenet.runtimes import open_session
from onenet.runtimes.backends.litert import operators

CPU = ("tflite", "onnx")
FACTORY = f"{__file__}:make"


class Wide(nn.Module):
    """Somebody else's block: two 3x3 convolutions of 256 channels and a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 256, 2, stride=2), nn.Conv2d(256, 2, 1)
        self.body = nn.Sequential(nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.Conv2d(256, 256, 3, padding=1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        return self.head(torch.relu(x + self.body(x)))


def make() -> nn.Module:
    torch.manual_seed(0)
    return Wide().eval()


@pytest.fixture(scope="module")
def model() -> Model:
    with quiet():
        return onenet.lower(onenet.build(FACTORY, input_size=(32, 48)))


@pytest.fixture(scope="module")
def exported(model: Model, tmp_path_factory: pytest.TempPathFactory) -> dict[str, ExportedArtifact]:
    """By target; checked against the float model, or there would be none."""
    folder = tmp_path_factory.mktemp("wide")
    with quiet():
        return {target: onenet.export(model, target=target, out=folder) for target in CPU}


def winograd_rule(artifact: ExportedArtifact) -> int | None:
    rules = artifact.manifest["lowering"]["target_rules"]
    return next((rule["applied"] for rule in rules if rule["rule"] == "winograd"), None)


def test_tflite_stays_one_partition(exported: dict[str, ExportedArtifact]) -> None:
    path = exported["tflite"].path
    found = Counter(operator for operator, _ in operators(path))
    assert found["DEPTHWISE_CONV_2D"] == 2 * 16
    assert found["CONV_2D"] == 2 * 16 + 2
    assert open_session(path).runtime.kernels == "XNNPACK, 1 partition"


@pytest.mark.parametrize("target", CPU)
def test_the_direct_form_is_another_smaller_file(
    target: str, exported: dict[str, ExportedArtifact], model: Model, tmp_path: Path
) -> None:
    with quiet():
        direct = onenet.export(model, target=target, out=tmp_path, winograd=False)
    assert direct.path.stem == exported[target].path.stem + "_direct"
    assert (winograd_rule(exported[target]), winograd_rule(direct)) == (2, None)
    weights = 4 * 256 * 256 * 2
    assert exported[target].bytes - direct.bytes == pytest.approx((16 - 9) * weights, rel=0.1)  # and the transforms, once
    assert not rebuild(direct.path, model=FACTORY).winograd


@pytest.mark.parametrize("target", CPU)
def test_fp16_and_int8_weights_stay_small(target: str, model: Model, tmp_path: Path) -> None:
    for precision in ("fp16", "w8"):
        with quiet():
            made = onenet.export(model, target=target, precision=precision, out=tmp_path)
        assert winograd_rule(made) is None
        assert made.path.stem == f"{model.spec.name}_{precision}"


@pytest.mark.parametrize("target", CPU)
def test_layer_by_layer(target: str, exported: dict[str, ExportedArtifact]) -> None:
    """The network is built again from the manifest with the same convolutions, and no layer is wrong."""
    job = rebuild(exported[target].path, model=FACTORY)
    assert job.winograd
    with quiet():
        profile = compare(Reference(job), exported[target].path)
    assert not [layer.name for layer in profile.layers if layer.wrong]
    assert len([layer for layer in profile.layers if layer.name.startswith("conv2d")]) >= 2 * 32
