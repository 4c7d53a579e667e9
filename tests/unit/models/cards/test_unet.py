"""The paper's U-Nets are in the registry, behind OneNet, and each names what builds it."""

from __future__ import annotations

import importlib

from onenet.models import REGISTRY
from onenet.models.cards.unet import MODELS
from onenet.models.system import System


def test_they_are_listed() -> None:
    names = [entry.name for entry in MODELS]
    assert names == ["unet4", "unet5", "unet-resnet34", "unet-resnet50", "unet-mobilenet"]
    assert [name for name in REGISTRY if name in names] == names
    assert {importlib.import_module(entry.builder).SYSTEM for entry in MODELS} == {
        importlib.import_module("onenet.models.unet").SYSTEM
    }
    assert all(isinstance(importlib.import_module(entry.builder).SYSTEM, System) for entry in MODELS)
