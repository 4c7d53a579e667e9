"""The published models are listed without PyTorch, in the order of their cards, and each names what builds it."""

from __future__ import annotations

import importlib
import subprocess
import sys

from onenet.models import CARDS, REGISTRY
from onenet.models.cards.onenet import MODELS
from onenet.models.system import System


def test_the_registry_is_the_folder() -> None:
    assert list(REGISTRY)[:4] == [entry.name for entry in MODELS] == ["onenet-ed4", "onenet-e4", "onenet-ed5", "onenet-e5"]
    assert dict(REGISTRY) == CARDS.cards()
    assert "unet" not in REGISTRY


def test_every_entry_names_its_builder() -> None:
    for entry in MODELS:
        assert isinstance(importlib.import_module(entry.builder).SYSTEM, System)


def test_listing_loads_no_framework() -> None:
    code = "import sys; from onenet.models import REGISTRY; list(REGISTRY.values()); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
