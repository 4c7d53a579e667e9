"""Where a rule's form cannot be converted, or its file is wrong, the network is exported without that rule, and says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import onenet
from onenet.calibration.quantized import QuantizedModel
from onenet.errors import ConversionError
from onenet.exporters import pipeline
from onenet.exporters.exporter import Exporter
from onenet.exporters.fallback import run_converter
from onenet.exporters.job import Job
from onenet.exporters.rebuild import rebuild
from onenet.lowering import driver
from onenet.model import Model
from tests.conftest import smooth_images
from tests.unruly import Broken, Negated, Unruly

SIZE = (16, 16)


def network(middle: nn.Module) -> Model:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), middle, nn.Conv2d(4, 2, 1)
    return onenet.build(lambda: nn.Sequential(*layers).eval(), input_size=SIZE)


class Erfinv(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.erfinv(x.tanh())


def misrule(place: str, rule: Unruly, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a rule behind the rules for every target, or behind a target's own."""
    rules = getattr(driver, place)
    monkeypatch.setattr(driver, place, lambda *target: (*rules(*target), rule))


@pytest.mark.parametrize("precision", ["fp32", "w8"])
@pytest.mark.parametrize(("place", "rule"), [("target_order", Unruly()), ("common_order", Unruly())], ids=["target", "common"])
def test_it_is_exported_without_the_rule_at_fault(
    place: str, rule: Unruly, precision: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    misrule(place, rule, monkeypatch)
    model = onenet.lower(network(nn.Identity()))
    with pytest.warns(UserWarning, match=r"\.onnx is made without the rule unruly, .* failed at cumprod in layer 4") as warned:
        artifact = onenet.export(model, target="onnx", precision=precision, out=tmp_path)
    assert len(warned) == 1
    assert "\n" not in str(warned[0].message)
    lowering: dict[str, Any] = artifact.manifest["lowering"]
    assert lowering["left_out"]["rules"] == ("unruly",)
    assert "cumprod" in lowering["left_out"]["reason"]
    assert {each["rule"] for each in lowering["rules"] if each["applied"]} >= {"batch_norm", "fold_backward"}
    assert onenet.verify(artifact.path).passed


def test_a_rule_that_breaks_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    misrule("target_order", Broken(), monkeypatch)
    with pytest.warns(UserWarning, match=r"made without the rule unruly, .* failed: IndexError: relu$"):
        artifact = onenet.export(onenet.lower(network(nn.Identity())), target="onnx", out=tmp_path)
    assert artifact.checked == "yes"


def miscompile(monkeypatch: pytest.MonkeyPatch) -> None:
    """A converter that takes a form and writes something else: for absolute values a ReLU."""

    def wrong(exporter: Exporter, job: Job, path: Path) -> None:
        module = job.arranged.module
        for node in module.graph.nodes:
            if node.target is torch.ops.aten.abs.default:
                node.target = torch.ops.aten.relu.default
        module.recompile()
        run_converter(exporter, job, path)

    monkeypatch.setattr(pipeline, "run_converter", wrong)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_form_whose_file_is_wrong_is_left_out(precision: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    misrule("target_order", Negated(), monkeypatch)
    miscompile(monkeypatch)
    model: Model | QuantizedModel = onenet.lower(network(nn.Identity()))
    if precision == "int8":
        model = onenet.calibrate(model, list(smooth_images(4, 3, *SIZE)))
    with pytest.warns(UserWarning, match="made without the rule unruly, whose form fails its check: .* of values") as warned:
        artifact = onenet.export(model, target="onnx", precision=precision, out=tmp_path)
    assert len(warned) == 1
    assert artifact.checked == "yes"
    assert artifact.manifest["lowering"]["left_out"]["rules"] == ("unruly",)


FACTORY = """
import torch
from torch import nn


def make():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1)).eval()
"""


def test_it_is_rebuilt_without_the_rule(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(FACTORY)
    misrule("common_order", Unruly(), monkeypatch)
    model = onenet.lower(onenet.build(f"{tmp_path}/net.py:make", input_size=SIZE))
    with pytest.warns(UserWarning, match="made without the rule unruly"):
        artifact = onenet.export(model, target="onnx", out=tmp_path / "first", verify=False)
    job = rebuild(artifact.path, model=f"{tmp_path}/net.py:make")
    pipeline.make(job, tmp_path / job.file_name, {})
    assert job.file_name == artifact.path.name
    assert (tmp_path / job.file_name).read_bytes() == artifact.path.read_bytes()


def test_a_common_rule_that_breaks_is_left_out_and_the_rest_is_lowered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    misrule("common_order", Broken(), monkeypatch)
    says = "is exported without the rule unruly, which failed: IndexError: relu"
    with pytest.warns(UserWarning, match=f"{says}$"):
        model = onenet.lower(network(nn.Identity()))
    artifact = onenet.export(model, target="onnx", out=tmp_path)
    lowering: dict[str, Any] = artifact.manifest["lowering"]
    assert lowering["broken"] == ["unruly, which failed: IndexError: relu"]
    assert {each["rule"] for each in lowering["rules"] if each["applied"]} >= {"batch_norm", "fold_backward"}
    assert artifact.checked == "yes"


def test_what_cannot_be_converted_as_it_was_written_is_the_same_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    misrule("target_order", Unruly(), monkeypatch)
    with pytest.raises(ConversionError, match="failed at"):
        onenet.export(onenet.lower(network(Erfinv())), target="onnx", out=tmp_path)
    assert list(tmp_path.iterdir()) == []
