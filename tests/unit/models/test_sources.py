"""Where networks come from: files, packages, modules, saved programs, and what a ``model.toml`` beside them says."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import onenet
from onenet.base.quiet import quiet
from onenet.errors import ToolError
from onenet.models.build import build
from onenet.models.facts import Facts
from tests.unit.refused import refused

SIZE = (8, 12)

NET = """
import torch
from torch import nn

from {neighbour} import WIDTH


def make():
    return nn.Conv2d(3, WIDTH, 1)


def fixed():
    net = make()
    for value in net.parameters():
        nn.init.ones_(value)
    return net


class Outputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 5, 1)

    def forward(self, image):
        return {{"out": self.a(image), "more": [self.b(image), {{"deep": image}}], "none": None}}
"""


@pytest.fixture(autouse=True)
def _path_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith(("onenet_model_", "first_", "hour_")):
            del sys.modules[name]


def written(folder: Path, neighbour: str = "first_blocks", file: str = "net.py") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / f"{neighbour.lstrip('.')}.py").write_text("WIDTH = 7\n")
    (folder / file).write_text(NET.format(neighbour=neighbour))
    return folder / file


def test_neighbours_of_a_file_import(tmp_path: Path) -> None:
    model = build(f"{written(tmp_path)}:make", input_size=SIZE)
    assert model.spec.outputs[0].shape == (1, 7, *SIZE)
    assert model.spec.source["weights"] == "from the factory"
    assert model.spec.source["drawn"] == "2 of 2 tensors (weight, bias)"
    assert "drawn" not in build(f"{tmp_path / 'net.py'}:fixed", input_size=SIZE).spec.source


def test_a_file_in_a_package_and_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path / "hour_package", ".hour_blocks")
    (file.parent / "__init__.py").write_text("")
    assert build(f"{file}:make", input_size=SIZE).spec.outputs[0].shape[1] == 7
    monkeypatch.chdir(tmp_path)
    assert build("hour_package.net:make", input_size=SIZE).spec.outputs[0].shape[1] == 7
    assert build("torch.nn:Identity", input_size=SIZE).spec.name == "Identity"
    refused("module hour_nothing fails to import: ModuleNotFoundError", "hour_nothing:make")
    refused("No module named 'torchvison'; did you mean torchvision?", "torchvison:resnet18")
    refused(
        "hour_package.net has no callable 'maker'; found: make, fixed, Outputs; did you mean make?", "hour_package.net:maker"
    )
    refused("model 'tim m' is neither a file nor a module; write path/to/file.py:factory, ", "tim m:x")


KEYS = [("out", 2), ("0", None), ("more.0", 5), ("more_0", 5), ("more.1.deep", 3), ("deep", None)]


@pytest.mark.parametrize(("key", "channels"), KEYS)
def test_one_of_several_outputs(key: str, channels: int | None, tmp_path: Path) -> None:
    reference = f"{written(tmp_path)}:Outputs"
    if channels is None:
        text = f"--output-key {key} is no output of Outputs; it returns out, more.0, more.1.deep"
        refused(text, reference, input_size=SIZE, facts=Facts(output_key=key))
        return
    model = build(reference, input_size=SIZE, facts=Facts(output_key=key))
    (output,) = model.spec.outputs
    assert output.shape == (1, channels, *SIZE)
    assert model.spec.task == ("segmentation" if channels != 3 else model.spec.task)
    assert [each.name for each in build(reference, input_size=SIZE).spec.outputs] == ["out", "more_0", "more_1_deep"]


def test_name_channels_and_batch_of_the_image() -> None:
    model = build(nn.Conv2d(4, 2, 1), input_size=SIZE, facts=Facts(input_name="pixels", channels=4, batch=2))
    (feed,) = model.spec.inputs
    assert (feed.name, feed.shape) == ("pixels", (2, 4, *SIZE))
    assert model.spec.outputs[0].shape == (2, 2, *SIZE)
    refused("does not run on (1, 5, 8, 12)", nn.Conv2d(4, 2, 1), input_size=SIZE, facts=Facts(channels=5))


class Labels(nn.Module):
    """Integers, which are labels."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype, self.conv = dtype, nn.Conv2d(3, 4, 1)

    def forward(self, image: Tensor) -> Tensor:
        return (self.conv(image)[:, 0] > 0).to(self.dtype)


def test_integer_labels() -> None:
    model = build(Labels(torch.int64), input_size=SIZE, facts=Facts(class_names=("a", "b")))
    assert (model.spec.task, model.spec.outputs[0].role, len(model.spec.classes)) == ("segmentation", "labels", 2)


# --- saved programs ---------------------------------------------------------


@pytest.fixture
def program(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1)).eval()
    with quiet():
        torch.export.save(torch.export.export(module, (torch.zeros(1, 3, *SIZE),)), tmp_path / "seg.pt2")
    torch.save(module.state_dict(), tmp_path / "seg.pth")
    return tmp_path / "seg.pt2"


def test_a_saved_program_needs_no_code(program: Path) -> None:
    model = build(str(program))
    assert model.spec.name == "seg"
    assert model.spec.inputs[0].shape == (1, 3, *SIZE)
    assert "drawn" not in model.spec.source
    with quiet():
        lowered = onenet.lower(model)
    given = torch.rand(1, 3, *SIZE)
    with torch.no_grad():
        assert torch.allclose(lowered.module(given), torch.export.load(program).module()(given), atol=1e-5)
    refused("input-size is 16,16 by the options and 8,12 by the saved program seg", str(program), input_size=(16, 16))


def test_programs_that_are_not_opened(program: Path, tmp_path: Path) -> None:
    refused("model file nothing.pt2 does not exist", "nothing.pt2")
    (tmp_path / "cut.pt2").write_bytes(program.read_bytes()[:200])
    refused("cut.pt2 cannot be read as a program of torch.export.save", str(tmp_path / "cut.pt2"))
    with zipfile.ZipFile(program) as source, zipfile.ZipFile(tmp_path / "evil.pt2", "w") as target:
        for name in source.namelist():
            data = source.read(name)
            target.writestr(name, data.replace(b'"use_pickle": false', b'"use_pickle": true'))
    refused("evil.pt2 holds the pickled object 0.weight, which may carry code", str(tmp_path / "evil.pt2"))


# --- model.toml -------------------------------------------------------------


def test_what_lies_beside_a_network_is_picked_up(tmp_path: Path) -> None:
    reference = f"{written(tmp_path)}:fixed"
    state = {"weight": torch.zeros(7, 3, 1, 1), "bias": torch.arange(7.0)}
    torch.save({"state_dict": {f"model.{key}": value for key, value in state.items()}}, tmp_path / "last.ckpt")
    said = tmp_path / "model.toml"
    said.write_text('weights = "last.ckpt"\nmean = "imagenet"\ninput-size = [8, 12]\n')
    model = build(reference)
    assert model.spec.inputs[0].shape == (1, 3, *SIZE)
    assert model.spec.source["weights"] == "last.ckpt"
    assert "mean 0.485,0.456,0.406 and std 0.229,0.224,0.225" in model.spec.normalisation
    assert str(tmp_path) not in str(model.spec.as_dict())
    refused("input-size is 4,4 by the options and 8,12 by model.toml; say it in one place", reference, input_size=(4, 4))
    refused("random weights were asked for, and model.toml names last.ckpt", reference, random_weights=True)
    said.write_text(said.read_text() + 'model = "net.py:make"\n')
    assert build(reference, input_size=(4, 4)).spec.inputs[0].shape == (1, 3, 4, 4)  # it is for another one
    assert build(str(said)).spec.name == "make"
    said.write_text('mean = "imagenet"\n')
    refused('names no network; write model = "file.py:factory" into it', str(said))


# --- libraries --------------------------------------------------------------


def test_a_library_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ToolError, match=r"--model timm:resnet18 needs timm, which does not import .*: pip install timm"):
        build("timm:resnet18")
