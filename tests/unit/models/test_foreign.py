"""Other people's networks: a file and the factory in it, a module, a signature; and every way in which they can be wrong."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn

import onenet
from onenet.base.quiet import quiet
from onenet.errors import RequestError
from onenet.models.build import build
from onenet.spec import ModelSpec, TensorSpec, numbered_classes
from tests.conftest import awkward_onenet
from tests.unit.refused import refused

SIZE = (32, 48)

FOREIGN = """
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from onenet.spec import ModelSpec, TensorSpec


@dataclass
class Options:  # looks its own module up while it is made
    width: int = 4


def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, Options().width, 3, padding=1), nn.ReLU())


def grey() -> nn.Module:
    return nn.Conv2d(1, 2, 1)


class Two(nn.Module):
    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return image * 2, image.mean((2, 3))


class Denoiser(nn.Module):
    def forward(self, image: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        return image * step


STEP = TensorSpec("step", "scalar", (1,))


def denoiser(shape=(1, 3, 8, 8), name="denoiser", task="other"):
    image = TensorSpec("image", "image", (1, 3, 8, 8), "NCHW")
    clean = TensorSpec("clean", "scores", shape, "NCHW")
    return Denoiser(), ModelSpec(name, task, (image, STEP), (clean,))


def wrong_spec():
    return denoiser(shape=(1, 1, 8, 8))


def no_task():
    return denoiser(task="segmentaton")


def escapes():
    return denoiser(name="../denoiser")


class Branch(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image if image.sum() > 0 else -image


def number(): return 3
def three(): return net(), None, None
def pair(): return net(), "spec"
def dictionary():
    class Dictionary(nn.Module):
        def forward(self, image): return {"out": image, "classes": 3}
    return Dictionary()
def fails(): raise ValueError("first\\nsecond")
def leaves(): raise SystemExit(3)
def needs(argument): return net()
NOT_CALLABLE = 3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "foreign.py"
    path.write_text(FOREIGN)
    return path


def test_a_factory_in_a_file(file: Path) -> None:
    model = build(f"{file}:net", input_size=SIZE)
    assert model.spec.name == "net"
    assert model.spec.inputs[0].shape == (1, 3, *SIZE)
    assert model.spec.outputs == (TensorSpec("logits", "logits", (1, 4, *SIZE), "NCHW"),)
    assert model.spec.classes == numbered_classes(4)
    assert model.spec.source["parameters"] == 3 * 4 * 9 + 4
    assert str(file.parent) not in str(model.spec.as_dict())  # a manifest names no folder of this machine
    assert model.spec == build(f"{file}:net", input_size=SIZE).spec
    assert build(f"{file}:grey", input_size=SIZE).spec.inputs[0].shape == (1, 1, *SIZE)


def test_several_outputs_and_several_inputs(file: Path) -> None:
    two = build(f"{file}:Two", input_size=SIZE)
    assert [(t.name, t.role, t.shape) for t in two.spec.outputs] == [
        ("output_0", "scores", (1, 3, *SIZE)),
        ("output_1", "scores", (1, 3)),
    ]
    assert two.spec.classes == ()
    refused("gives scores (1, 3, 32, 48), scores (1, 3)", f"{file}:Two", input_size=SIZE, output="labels")
    denoiser = build(f"{file}:denoiser")
    assert isinstance(denoiser.spec, ModelSpec)
    assert [t.name for t in denoiser.spec.inputs] == ["image", "step"]
    assert denoiser.spec.source["parameters"] == 0
    with pytest.raises(RequestError, match="calibration needs at least one sample, found none"):
        onenet.calibrate(onenet.lower(denoiser), [])


def test_weights_for_a_foreign_module(file: Path, tmp_path: Path) -> None:
    state = {"0.weight": torch.ones(4, 3, 3, 3), "0.bias": torch.zeros(4)}
    mine = tmp_path / "mine.pt"
    torch.save(state, mine)
    model = build(f"{file}:net", weights=mine, input_size=SIZE)
    assert float(model.module.state_dict()["0.weight"].min()) == 1.0
    wrong = tmp_path / "wrong.pt"
    torch.save({**state, "0.bias": torch.zeros(5)}, wrong)
    refused("0.bias is expected with shape (4,), found (5,)", f"{file}:net", weights=wrong)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nothing", "has no callable 'nothing'; found: "),
        ("NOT_CALLABLE", "has no callable 'NOT_CALLABLE'"),
        ("number", "returned int"),
        ("three", "returned Sequential, NoneType, NoneType"),
        ("pair", "returned Sequential, str"),
        ("dictionary", "returns int among others; it may return tensors"),
        ("fails", "factory fails() failed: ValueError: first"),
        ("leaves", "factory leaves() failed: SystemExit: 3"),
        ("needs", "factory needs() failed: TypeError"),
        ("wrong_spec", "its ModelSpec says"),
        ("no_task", "task 'segmentaton' is not known; supported: segmentation, "),
        ("escapes", "'../denoiser' cannot be a file's"),
        ("Denoiser", "does not run on (1, 3, 256, 256)"),
    ],
)
def test_factories_that_give_no_module(file: Path, name: str, says: str) -> None:
    refused(says, f"{file}:{name}")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("import a_module_that_is_not_there", "fails to import: ModuleNotFoundError"),
        ("def broken(:", "fails to import: SyntaxError"),
        ("raise SystemExit('usage: ...')", "fails to import: SystemExit: usage"),
        ("1 / 0", "fails to import: ZeroDivisionError"),
    ],
)
def test_files_that_fail_to_import(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "broken.py").write_text(content)
    refused(says, f"{tmp_path / 'broken.py'}:make")


def test_references_that_lead_nowhere(tmp_path: Path, file: Path) -> None:
    refused("does not exist", f"{tmp_path / 'nothing.py'}:make")
    refused("names no factory; write path/to/file.py:factory", str(file))
    refused("--width, --config shape the registry's models", f"{file}:net", width=4, config="a.yaml")


def test_a_network_that_cannot_be_traced_is_one_line(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RequestError, match=r"torch\.export cannot trace Branch") as caught, quiet():
        onenet.lower(build(f"{file}:Branch", input_size=(8, 8)))
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_nan_in_the_weights_is_said_before_any_export() -> None:
    module = nn.Conv2d(3, 2, 1)
    module.weight.data[1, 2] = float("nan")
    with pytest.raises(RequestError, match="returns NaN or infinity"):
        onenet.lower(build(module, input_size=(4, 6)))


class Unordered(nn.Module):
    """Its first convolution in the order of its parts is not the first that runs."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.stem = nn.Conv2d(8, 2, 1), nn.Conv2d(4, 8, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.stem(image))
        return logits


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_networks_of_another_float_type_are_built_in_float32(kind: torch.dtype) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1)).to(kind)
    model = build(module, input_size=(6, 8))
    name = str(kind).removeprefix("torch.")
    assert model.notes == (f"Sequential is {name} and does not take float32; it is built in float32",)
    assert {each.dtype for each in model.module.parameters()} == {torch.float32}
    assert {each.dtype for each in module.parameters()} == {kind}  # the user's own is left as it was
    with pytest.warns(UserWarning, match="built in float32"):
        assert onenet.lower(model).spec.outputs[0].dtype == "float32"
    refused("does not run on (1, 3, 1, 1)", module, input_size=(1, 1))


def test_modules_and_lambdas_without_a_file() -> None:
    assert build(nn.Conv2d(5, 2, 1), input_size=(4, 6)).spec.inputs[0].shape == (1, 5, 4, 6)
    unordered = Unordered()
    assert next(m.in_channels for m in unordered.modules() if isinstance(m, nn.Conv2d)) == 8
    assert build(unordered, input_size=(4, 6)).spec.inputs[0].shape == (1, 4, 4, 6)
    assert build(lambda: nn.Conv2d(3, 2, 1), input_size=(4, 6)).spec.name == "model"  # not a name for a file: <lambda>
    assert build(awkward_onenet("e"), input_size=SIZE).spec.inputs[0].shape == (1, 3, *SIZE)
    refused("factory model() failed: TypeError", 3)


@pytest.mark.parametrize("change", [{"role": "features"}, {"layout": "CN"}])
def test_a_role_or_layout_that_does_not_exist_is_named_before_any_work(change: dict[str, str]) -> None:
    image = TensorSpec("image", "image", (1, 3, 8, 8), "NCHW")
    wrong = dataclasses.replace(TensorSpec("scores", "scores", (1, 3, 8, 8), "NCHW"), **change)
    ((kind, value),) = change.items()
    with pytest.raises(RequestError, match=f"scores of odd has the {kind} '{value}'; choose from "):
        onenet.build(lambda: (nn.Identity(), ModelSpec("odd", "segmentation", (image,), (wrong,))))


# --- random weights -------------------------------------------------------


class Trained(nn.Module):
    """Weights as training left them, statistics too."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))
        for value in self.state_dict().values():
            value.fill_(7)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.net(image)


class Embedded(Trained):
    """With a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.ones(1, 3, 1, 1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.net(image + self.place)


def test_random_weights_of_a_factory_are_drawn_and_seeded() -> None:
    given = Trained()
    one, same, other = (
        build(given, random_weights=True, seed=seed, input_size=(8, 8)).module.state_dict() for seed in (0, 0, 1)
    )
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert not torch.equal(one["net.0.weight"], other["net.0.weight"])
    assert one["net.0.weight"].std() > 0.05 and one["net.1.running_var"].eq(1).all()
    assert given.net[0].weight.eq(7).all()  # the user's own stays as it is
    assert build(given, random_weights=True, input_size=(8, 8)).spec.source["weights"] == "random"


def test_random_weights_that_no_layer_draws_are_refused() -> None:
    with pytest.raises(RequestError, match=r"Embedded has 1 parameters that no layer draws \(place\): let the factory draw"):
        build(Embedded, random_weights=True, input_size=(8, 8))
