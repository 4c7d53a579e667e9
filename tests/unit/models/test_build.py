"""From names, configurations and checkpoints to a model, and every way in which they can be wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from onenet.model import Model
from onenet.models import REGISTRY
from onenet.models.build import build
from tests.conftest import awkward_onenet
from tests.unit.refused import refused

SHIPPED = [entry for entry in REGISTRY.values() if entry.weights]
NOT_SHIPPED = [entry for entry in REGISTRY.values() if not entry.weights]
SIZE = (16, 32)

OFFICIAL = """
model:
  name: {name}
  num_layers: 3
  bottleneck_channel: 4
  bottleneck_repeat: 2
  channel_in: 3
  channel_out: 5
  kernel_size: 3
data:
  resolution: [24, 40]
"""


def parameters(model: Model) -> dict[str, Tensor]:
    return model.module.state_dict()


# --- the registry and its weights ---------------------------------------


def test_an_unknown_name_lists_the_known_ones() -> None:
    text = refused("model 'unet' is not known", "unet")
    assert all(name in text for name in REGISTRY)
    assert "file.py:factory" in text


@pytest.mark.parametrize("entry", NOT_SHIPPED, ids=lambda e: e.name)
def test_a_model_without_shipped_weights_says_how_to_get_some(entry: Any) -> None:
    text = refused(f"no trained weights are shipped for {entry.name}", entry.name)
    assert all(way in text for way in ("--weights FILE", "--random-weights", *(e.name for e in SHIPPED)))


@pytest.mark.parametrize("entry", SHIPPED, ids=lambda e: e.name)
def test_shipped_weights(entry: Any) -> None:
    model = build(entry.name, input_size=(64, 32))
    assert model.spec.name == entry.name
    assert model.spec.source["weights"] == "shipped"
    assert model.spec.inputs[0].shape == (1, 3, 64, 32)
    width = model.spec.source["config"]["width"]
    refused(f"have width {width}", entry.name, width=width + 2)
    assert build(entry.name, width=width, input_size=(32, 32)).spec.source["weights"] == "shipped"
    published = build(entry.name, random_weights=True, input_size=(32, 32)).spec.source["config"]
    assert published["width"] >= width


@pytest.mark.parametrize("entry", [entry for entry in SHIPPED if entry.name != "segone"], ids=lambda e: e.name)
def test_shipped_segmentation(entry: Any) -> None:
    spec = build(entry.name, input_size=(64, 32)).spec
    assert spec.outputs[0].shape == (1, len(spec.classes), 64, 32)
    assert [c.name for c in spec.classes] == ["background", "nucleus"]


def test_a_shipped_denoiser_knows_the_texts_that_it_was_trained_with() -> None:
    spec = build("segone", input_size=(32, 32)).spec
    assert list(spec.source["prompts"]) == ["nuclei", "background", "bright nuclei"]
    (text,) = (each for each in spec.inputs if each.name == "text")
    assert all(len(row) == text.shape[1] for row in spec.source["prompts"].values())
    assert "prompts" not in build("segone", random_weights=True, width=4, input_size=(32, 32)).spec.source


def test_a_shipped_onenet_has_no_spatial_convolution() -> None:
    refused("kernel None", "onenet-ed4", kernel=9)
    assert build("onenet-ed4", spatial=False, input_size=(32, 32)).spec.source["weights"] == "shipped"


def test_random_weights_are_seeded() -> None:
    def sha(**options: Any) -> str:
        model = build("onenet-ed4", random_weights=True, width=2, input_size=SIZE, **options)
        assert model.spec.source["weights"] == "random"
        value: str = model.spec.source["weights_sha256"]
        return value

    assert sha() == sha() == sha(seed=0)
    assert sha(seed=1) != sha()
    assert build("onenet-e4", random_weights=True, width=2, classes=7, kernel=3, input_size=SIZE).spec.source["config"] == {
        "variant": "e",
        "layers": 4,
        "width": 2,
        "classes": 7,
        "channels_in": 3,
        "kernel": 3,
        "repeat": 3,
    }


def test_weights_and_random_weights_exclude_each_other(tmp_path: Path) -> None:
    torch.save(awkward_onenet("ed").state_dict(), tmp_path / "a.pt")
    refused("give one of them", weights=tmp_path / "a.pt", random_weights=True)
    refused("give one of them", torch.nn.Conv2d(3, 2, 1), weights=tmp_path / "a.pt", random_weights=True)


@pytest.mark.parametrize(
    ("name", "size", "says"),
    [
        ("onenet-ed4", (250, 256), "250x256 is not divisible by 16, which onenet-ed4 needs; nearest: 256x256"),
        ("onenet-e5", (40, 3), "40x3 is not divisible by 32, which onenet-e5 needs; nearest: 32x32"),
        ("onenet-ed4", (0, 0), "does not run on (1, 3, 0, 0)"),
        ("onenet-ed4", (-16, 16), "does not run on (1, 3, -16, 16)"),
    ],
)
def test_input_sizes_that_the_network_cannot_take(name: str, size: tuple[int, int], says: str) -> None:
    refused(says, name, random_weights=True, width=2, input_size=size)


# --- the official configuration -----------------------------------------


@pytest.mark.parametrize(("name", "variant"), [("ONENET", "e"), ("SEGONE", "ed")])
def test_an_official_configuration(tmp_path: Path, name: str, variant: str) -> None:
    file = tmp_path / "official.yaml"
    file.write_text(OFFICIAL.format(name=name))
    model = build(config=file, random_weights=True)
    assert model.spec.name == f"onenet-{variant}3"
    assert model.spec.inputs[0].shape == (1, 3, 24, 40)
    assert model.spec.outputs[0].shape == (1, 5, 24, 40)
    expected = dict(variant=variant, layers=3, width=4, classes=5, channels_in=3, kernel=3, repeat=2)
    assert model.spec.source["config"] == expected
    assert build(config=file, random_weights=True, input_size=SIZE).spec.inputs[0].shape[2:] == SIZE
    refused("names no weights", config=file)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("resolution: [24, 40]", "resolution: 24", "data.resolution must be [height, width], found 24"),
        ("resolution: [24, 40]", "resolution: 24x40", "found '24x40'"),
        ("resolution: [24, 40]", "resolution: [24]", "found [24]"),
        ("resolution: [24, 40]", "resolution: [20, 40]", "20x40 is not divisible by 8, which onenet-ed3 needs; nearest: 16x40"),
        ("kernel_size: 3", "kernel_size: '3'", "kernel must be an odd whole number, found '3'"),
        ("kernel_size: 3", "kernel_size: 4", "kernel must be an odd whole number, found 4"),
        ("channel_out: 5", "channel_out: five", "classes must be a whole number of at least 1, found 'five'"),
        ("num_layers: 3", "levels: 3", "lacks num_layers"),
        ("name: SEGONE", "name: UNET", "supported: ONENET, SEGONE"),
        ("name: SEGONE", "name: [SEGONE]", "supported: ONENET, SEGONE"),
        ("model:", "network:", "has no 'model:' section"),
        ("model:", "model: [", "cannot be read"),
    ],
)
def test_configurations_with_a_mistake(tmp_path: Path, old: str, new: str, says: str) -> None:
    text = OFFICIAL.format(name="SEGONE")
    assert old in text
    (tmp_path / "wrong.yaml").write_text(text.replace(old, new))
    refused(says, config=tmp_path / "wrong.yaml", random_weights=True)


def test_configurations_that_are_no_text_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00model")
    refused("binary.yaml cannot be read", config=tmp_path / "binary.yaml", random_weights=True)
    refused("nothing.yaml cannot be read", config=tmp_path / "nothing.yaml", random_weights=True)
    refused("cannot be read", config=tmp_path, random_weights=True)
