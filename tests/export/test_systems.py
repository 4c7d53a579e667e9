"""Every published system, at a small width, on every target: written, checked and read again.

Precisions take turns, so that each system and each target sees all of them.
"""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import torch

import onenet
from onenet.base.quiet import quiet
from onenet.calibration.quantized import QuantizedModel
from onenet.model import Model
from onenet.models import REGISTRY
from onenet.targets import suffixes
from tests.conftest import enliven, smooth_images

ELSEWHERE = "onenet.models.onenet"
"""Built here is what ``test_targets``, ``test_forms`` and others test in every form, width and pair."""
NAMES = [name for name, card in REGISTRY.items() if card.builder != ELSEWHERE]
WIDTH, CLASSES = 2, 3
PRECISIONS = ("fp32", "int8", "fp16")


@functools.cache
def lowered(name: str) -> Model:
    model = onenet.build(name, width=WIDTH, classes=CLASSES, random_weights=True, input_size=(32, 64))
    enliven(model.module, torch.from_numpy(smooth_images(4, 3, 32, 64)))
    with quiet():
        return onenet.lower(model)


@functools.cache
def quantized(name: str) -> QuantizedModel:
    with quiet():
        return onenet.calibrate(lowered(name), list(smooth_images(4, 3, 32, 64)))


CASES = [
    (name, target, PRECISIONS[(i + j) % len(PRECISIONS)]) for i, name in enumerate(NAMES) for j, target in enumerate(suffixes())
]


@pytest.mark.parametrize(("name", "target", "precision"), CASES)
def test_a_system_on_a_target(name: str, target: str, precision: str, tmp_path: Path) -> None:
    source = quantized(name) if precision == "int8" else lowered(name)
    made = onenet.export(source, target=target, precision=precision, out=tmp_path)
    assert made.verification is not None and made.verification.passed
    assert onenet.verify(made.path).passed
