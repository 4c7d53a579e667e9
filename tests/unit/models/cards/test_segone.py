"""SegOne is in the registry, and its card names what builds it."""

from __future__ import annotations

import importlib

from onenet.models import REGISTRY
from onenet.models.cards.segone import MODELS
from onenet.models.system import System


def test_it_is_listed() -> None:
    (entry,) = MODELS
    assert REGISTRY["segone"] == entry
    assert isinstance(importlib.import_module(entry.builder).SYSTEM, System)
