"""The networks are the published ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from onenet.errors import RequestError
from onenet.models import REGISTRY
from onenet.models.onenet import OneNet, OneNetConfig
from tests.conftest import awkward_onenet
from tests.golden import stored

PUBLISHED = {"onenet-e4": 16.39, "onenet-ed4": 9.08, "onenet-e5": 65.73, "onenet-ed5": 36.38}
"""Millions of parameters, paper table 2."""


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_parameter_counts_of_table_2(name: str) -> None:
    with torch.device("meta"):
        module = OneNet(OneNetConfig(**REGISTRY[name].options))
    assert round(sum(p.numel() for p in module.parameters()) / 1e6, 2) == PUBLISHED[name]


@pytest.mark.parametrize("name", stored.GOLDEN)
def test_golden_files(name: str) -> None:
    golden = stored.load(name)
    model = OneNet(OneNetConfig.from_official(golden.config))
    model.load_state_dict({key: torch.from_numpy(value) for key, value in golden.state.items()}, strict=True)
    with torch.no_grad():
        output = model.eval()(torch.from_numpy(golden.input)).numpy()
    assert np.abs(output - golden.output).max() <= 1e-5


def test_a_weight_that_is_not_the_published_one_is_refused() -> None:
    name, shape = "encoder.convs.spatial_0.conv.weight", [1, 1, 9]
    with pytest.raises(ValueError, match=name):
        stored.drawn({"seed": 3, "arrays": [(name, shape, "0" * 16)]})


@pytest.mark.parametrize("variant", ["e", "ed"])
@pytest.mark.parametrize("kernel", [None, 1, 9])
def test_configuration_is_read_off_a_checkpoint(variant: str, kernel: int | None) -> None:
    model = awkward_onenet(variant, kernel=kernel, channels_in=2, repeat=1)
    assert OneNetConfig.from_state(model.state_dict()) == model.config


@pytest.mark.parametrize("variant", ["e", "ed"])
@pytest.mark.parametrize(("layers", "width", "classes", "channels"), [(1, 1, 1, 1), (2, 3, 5, 3), (3, 2, 2, 4)])
def test_any_depth_width_and_classes(variant: str, layers: int, width: int, classes: int, channels: int) -> None:
    model = awkward_onenet(variant, layers=layers, width=width, classes=classes, channels_in=channels, kernel=3)
    height, width_ = 2 * model.config.divisor, 3 * model.config.divisor
    assert model(torch.rand(2, channels, height, width_)).shape == (2, classes, height, width_)


def test_unused_heads_of_official_checkpoints_are_kept() -> None:
    assert "decoder.convs.head_3.conv.weight" in awkward_onenet("ed").state_dict()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"kernel": 4}, "odd"),
        ({"width": 0}, "width must be a whole number of at least 1, found 0"),
        ({"layers": 2.5}, "layers"),
    ],
)
def test_bad_configurations_are_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(RequestError, match=says):
        OneNetConfig("ed", **options)  # type: ignore[arg-type]  # wrong on purpose


def test_official_options_are_checked() -> None:
    with pytest.raises(RequestError, match="supported: ONENET, SEGONE"):
        OneNetConfig.from_official({"name": "UNET"})
    with pytest.raises(RequestError, match="lacks num_layers"):
        OneNetConfig.from_official({"name": "ONENET", "kernel_size": 9})
