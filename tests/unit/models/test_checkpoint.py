"""Checkpoints: shapes are read off them, and whatever is none is refused without running it."""

from __future__ import annotations

import importlib
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from onenet.model import Model
from onenet.models import REGISTRY
from onenet.models.build import build
from onenet.models.checkpoint import WRAPPERS
from onenet.models.facts import Facts
from tests.conftest import awkward_onenet
from tests.unit.refused import refused

SIZE = (16, 32)


def parameters(model: Model) -> dict[str, Tensor]:
    return model.module.state_dict()


@pytest.fixture(scope="module")
def trained() -> dict[str, Tensor]:
    return awkward_onenet("ed", layers=4, kernel=3).state_dict()


def save(path: Path, content: Any) -> Path:
    save_file(content, path) if path.suffix == ".safetensors" else torch.save(content, path)
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth"])
def test_the_shape_is_read_off_a_checkpoint(tmp_path: Path, trained: dict[str, Tensor], suffix: str) -> None:
    model = build("onenet-ed4", weights=save(tmp_path / f"mine{suffix}", trained), input_size=SIZE)
    config = dict(variant="ed", layers=4, width=4, classes=3, channels_in=3, kernel=3, repeat=2)
    assert model.spec.source["config"] == config
    assert model.spec.source["weights"] == f"mine{suffix}"
    assert model.spec.outputs[0].shape == (1, 3, *SIZE)
    assert all(torch.equal(value, trained[key]) for key, value in parameters(model).items())


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_nested_state_dicts_and_the_prefix_of_dataparallel(tmp_path: Path, trained: dict[str, Tensor], key: str) -> None:
    content = {key: {f"module.{name}": value for name, value in trained.items()}, "epoch": 7, "loss": 0.25}
    model = build("onenet-ed4", weights=save(tmp_path / "last.pth", content), input_size=SIZE)
    assert all(torch.equal(value, trained[key]) for key, value in parameters(model).items())


def test_a_training_class_around_a_published_system(tmp_path: Path, trained: dict[str, Tensor]) -> None:
    state = {f"model._orig_mod.{key}": value for key, value in trained.items()} | {"loss.weight": torch.ones(3)}
    path = save(tmp_path / "last.ckpt", {"state_dict": state, "hyper_parameters": {"lr": 0.1}})
    model = build("onenet-ed4", weights=path, input_size=SIZE)
    assert all(torch.equal(value, trained[key]) for key, value in parameters(model).items())
    named = build("onenet-ed4", weights=path, input_size=SIZE, facts=Facts(class_names=("a", "b", "c"), mean=(0.5,)))
    assert [each.name for each in named.spec.classes] == ["a", "b", "c"] and "mean 0.5" in named.spec.normalisation


@pytest.mark.parametrize("name", list(REGISTRY))
def test_no_published_systems_names_begin_like_a_wrapper(name: str) -> None:
    system = importlib.import_module(REGISTRY[name].builder).SYSTEM
    with torch.device("meta"):
        module = system.create(system.configure(REGISTRY[name].options, None, None, {}))
    assert not {key.partition(".")[0] for key in module.state_dict()} & set(WRAPPERS)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        (
            "onenet-ed4",
            {"width": 8},
            "encoder.bottleneck.blocks.0.conv.weight is expected with shape (8, 1, 3), found (4, 1, 3)",
        ),
        ("onenet-ed4", {"classes": 5}, "conv.weight is expected with shape (5, 64, 1), found (3, 64, 1)"),
        ("onenet-ed4", {"kernel": 9}, "encoder.convs.spatial_0.conv.weight is expected with shape (1, 1, 9), found (1, 1, 3)"),
        ("onenet-ed4", {"spatial": False}, "it holds encoder.convs.spatial_0.conv.weight, which this model does not have"),
        ("onenet-ed5", {}, "encoder.convs.spatial_4.conv.weight is expected with shape (1, 1, 3), found no such key"),
        ("onenet-e4", {}, "decoder.convs.up_4.conv.weight is expected with shape (64, 32, 2, 2), found no such key"),
    ],
)
def test_the_first_key_that_differs_is_named(
    tmp_path: Path, trained: dict[str, Tensor], name: str, options: dict[str, Any], says: str
) -> None:
    text = refused(says, name, weights=save(tmp_path / "mine.pt", trained), input_size=SIZE, **options)
    assert text.startswith("weights mine.pt does not fit: ")


def test_files_that_are_no_checkpoint(tmp_path: Path, trained: dict[str, Tensor]) -> None:
    first = "encoder.bottleneck.blocks.0.conv.weight"
    refused("does not exist", weights=tmp_path / "nothing.pt")
    (tmp_path / "folder.pt").mkdir()
    refused("does not exist", weights=tmp_path / "folder.pt")
    refused("suffix '.onnx' is not supported; use .safetensors, .pt, .pth, .ckpt, .bin", weights=tmp_path / "mine.onnx")
    refused("holds no state dict", weights=save(tmp_path / "empty.pt", {}))
    refused("holds no state dict", weights=save(tmp_path / "list.pt", [torch.zeros(1)]))
    refused("is not a OneNet's", weights=save(tmp_path / "other.pt", {"conv.weight": torch.zeros(1)}))
    refused("is not a OneNet's", weights=save(tmp_path / "scalar.pt", {**trained, first: torch.tensor(1.0)}))


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("keep", [0, 7, 5000])
def test_a_truncated_checkpoint(tmp_path: Path, trained: dict[str, Tensor], suffix: str, keep: int) -> None:
    path = save(tmp_path / f"mine{suffix}", trained)
    path.write_bytes(path.read_bytes()[:keep])
    refused(f"weights mine{suffix} ", weights=path)


class Code:
    """A pickle that makes a file when it is read."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("form", ["torch", "pickle"])
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path: Path, trained: dict[str, Tensor], form: str) -> None:
    path, witness = tmp_path / "evil.pt", tmp_path / "witness"
    content = {**trained, "extra": Code(witness)}
    torch.save(content, path) if form == "torch" else path.write_bytes(pickle.dumps(content))
    text = refused("evil.pt hold Python objects", weights=path)
    assert "which may carry code" in text
    assert not witness.exists()
    pickle.loads(pickle.dumps(Code(witness)))
    assert witness.exists()  # it would have run
