"""Where a rule's form cannot be converted, the network is exported without that rule, and says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import onenet
from onenet.errors import ConversionError
from onenet.lowering import driver
from onenet.model import Model
from tests.unruly import Broken, Unruly

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
