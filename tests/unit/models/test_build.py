"""From names, configurations and checkpoints to a model, and every way in which they can be wrong."""

from __future__ import annotations

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
    assert model.spec.outputs[0].shape == (1, len(model.spec.classes), 64, 32)
    assert [c.name for c in model.spec.classes] == ["background", "nucleus"]
    width = model.spec.source["config"]["width"]
    refused(f"have width {width}", entry.name, width=width + 1)
    refused("kernel None", entry.name, kernel=9)
    assert build(entry.name, width=width, spatial=False, input_size=(32, 32)).spec.source["weights"] == "shipped"


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
    refused("give one of them", weights=tmp_path / "a.pt", random_weights=True)


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


# --- outputs ------------------------------------------------------------


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


# --- checkpoints --------------------------------------------------------


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
    refused("suffix '.ckpt' is not supported; use .safetensors, .pt, .pth", weights=tmp_path / "mine.ckpt")
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
    refused("evil.pt hold Python objects, which may carry code", weights=path)
    assert not witness.exists()
    pickle.loads(pickle.dumps(Code(witness)))
    assert witness.exists()  # it would have run
