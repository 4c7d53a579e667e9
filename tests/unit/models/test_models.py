"""The registry: a model is found by its card being there."""

from __future__ import annotations

from pathlib import Path

import pytest

import onenet.models.cards
from onenet.errors import RequestError
from onenet.models import DEFAULT, REGISTRY, WEIGHTS, find

TOY = """
from onenet.models import ModelCard

MODELS = (ModelCard("toy", "a toy", "nowhere", {}),)
"""


def test_a_card_is_found_by_its_file_being_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toys.py").write_text(TOY)
    before = len(REGISTRY)
    with pytest.raises(RequestError, match="model 'toy' is not known; supported: onenet-ed4, "):
        find("toy")
    monkeypatch.setattr(onenet.models.cards, "__path__", [*onenet.models.cards.__path__, str(tmp_path)])
    assert find("toy").weights is None
    assert list(REGISTRY)[-1] == "toy" and len(REGISTRY) == before + 1


def test_the_default_is_shipped() -> None:
    assert find(DEFAULT).weights == WEIGHTS / f"{DEFAULT}.safetensors"
