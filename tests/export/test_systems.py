"""Every published system, at a small width, on every target: written, checked and read again.

Precisions take turns, so that each system and each target sees all of them.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
import torch

import onenet
from onenet.base.arrays import Array
from onenet.base.quiet import quiet
from onenet.calibration.quantized import QuantizedModel
from onenet.model import Model
from onenet.models import REGISTRY
from onenet.targets import suffixes
from tests.conftest import enliven, smooth_images
from tests.shared import few

ELSEWHERE = "onenet.models.onenet"
"""Built here is what ``test_targets``, ``test_forms`` and others test in every form, width and pair."""
NAMES = [name for name, card in REGISTRY.items() if card.builder != ELSEWHERE]
WIDTH, CLASSES = 2, 3
PRECISIONS = ("fp32", "int8", "fp16")


SIZE = (32, 64)


def samples(model: Model, count: int = 4) -> list[dict[str, Array]]:
    """Smooth images, and numbers within the range that another input says; without a range, of deviation 1."""
    generator, given = np.random.default_rng(0), []
    images = {each.name: smooth_images(count, *each.shape[1:]) for each in model.spec.inputs if each.role == "image"}
    for k in range(count):
        feeds = {name: pictures[k] for name, pictures in images.items()}
        for each in model.spec.inputs:
            if each.name not in feeds:
                low, high = each.value_range or (-3.0, 3.0)
                feeds[each.name] = np.clip(generator.normal(0, high / 3, each.shape[1:]), low, high).astype(np.float32)
        given.append(feeds)
    return given


@functools.cache
def lowered(name: str) -> Model:
    model = onenet.build(name, width=WIDTH, classes=CLASSES, random_weights=True, input_size=SIZE)
    batches = [np.stack([feeds[each.name] for feeds in samples(model)]) for each in model.spec.inputs]
    enliven(model.module, *map(torch.from_numpy, batches))
    with quiet():
        return onenet.lower(model)


@functools.cache
def quantized(name: str) -> QuantizedModel:
    with quiet():
        return onenet.calibrate(lowered(name), samples(lowered(name)))


CASES = [
    (name, target, PRECISIONS[(i + j) % len(PRECISIONS)]) for i, name in enumerate(NAMES) for j, target in enumerate(suffixes())
]


@pytest.mark.parametrize(("name", "target", "precision"), few(CASES, 11))
def test_a_system_on_a_target(name: str, target: str, precision: str, tmp_path: Path) -> None:
    source = quantized(name) if precision == "int8" else lowered(name)
    made = onenet.export(source, target=target, precision=precision, out=tmp_path)
    assert made.verification is not None and made.verification.passed
    assert onenet.verify(made.path).passed


@pytest.mark.parametrize("name", few(NAMES, 5))
def test_a_system_in_int8_computes_nothing_in_float(name: str) -> None:
    assert quantized(name).in_float == ()
