"""The networks that the field deploys are in the registry, and each names what builds it."""

from __future__ import annotations

import importlib

from onenet.models import REGISTRY
from onenet.models.cards.mobile import MODELS
from onenet.models.system import System


def test_they_are_listed() -> None:
    names = [entry.name for entry in MODELS]
    assert names == ["ffnet34", "u2netp", "basnet"]
    assert [name for name in REGISTRY if name in names] == names
    assert all(isinstance(importlib.import_module(entry.builder).SYSTEM, System) for entry in MODELS)
