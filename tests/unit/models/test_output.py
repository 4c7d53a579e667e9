"""Logits, probabilities and labels of one network, and who has them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from onenet.models.build import build
from tests.unit.refused import refused

SIZE = (16, 32)


def test_outputs_and_their_signatures() -> None:
    options: dict[str, Any] = dict(random_weights=True, width=2, classes=3, spatial=False, input_size=SIZE)
    image = torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    logits, probabilities, labels = (build("onenet-ed4", output=o, **options) for o in ("logits", "probabilities", "labels"))
    with torch.no_grad():
        values = logits.module(image)
        assert torch.equal(probabilities.module(image), values.softmax(1))
        found = labels.module(image)
    assert found.dtype == torch.int32
    assert torch.equal(found, values.argmax(1).int())
    shapes = {"logits": (1, 3, *SIZE), "probabilities": (1, 3, *SIZE), "labels": (1, *SIZE)}
    for model, role in ((logits, "logits"), (probabilities, "probabilities"), (labels, "labels")):
        (spec,) = model.spec.outputs
        assert (spec.name, spec.role, spec.shape) == (role, role, shapes[role])
    assert labels.spec.outputs[0].dtype == "int32"
    assert probabilities.spec.outputs[0].value_range == (0.0, 1.0)


def test_an_unknown_output() -> None:
    refused("supported: logits, probabilities, labels", output="masks")


def test_a_classifier_has_one_label_an_image() -> None:
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 7))
    logits, probabilities, labels = (build(net, output=o, input_size=SIZE) for o in ("logits", "probabilities", "labels"))
    image = torch.rand(1, 3, *SIZE)
    assert labels.module(image).tolist() == [int(logits.module(image).argmax())]
    assert (labels.spec.outputs[0].shape, labels.spec.outputs[0].dtype) == ((1,), "int32")
    assert probabilities.spec.outputs[0].shape == (1, 7)
    assert probabilities.module(image).detach().sum().item() == pytest.approx(1)
    assert {model.spec.task for model in (logits, probabilities, labels)} == {"classification"}


def test_numbers_are_no_classes() -> None:
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1))
    refused("needs class logits alone, as segmentation or classification has", net, output="labels", input_size=SIZE)
