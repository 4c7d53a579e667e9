"""The classifier is in the registry, behind the segmentation OneNets, and its card names what builds it."""

from __future__ import annotations

import importlib

from onenet.models import REGISTRY
from onenet.models.cards.classifier import MODELS
from onenet.models.system import System


def test_it_is_listed() -> None:
    (entry,) = MODELS
    assert list(REGISTRY)[4] == entry.name == "onenet-e4-classifier"
    assert isinstance(importlib.import_module(entry.builder).SYSTEM, System)
