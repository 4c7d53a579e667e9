"""Checkpoints of other people's training scripts: what stands before names comes off where the rest fits, and never else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from onenet.errors import RequestError
from onenet.models.build import build
from onenet.models.facts import Facts
from onenet.models.fitting import COLUMN, ROWS, load_weights

State = dict[str, Tensor]


def net() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))


def trained(value: float = 0.5) -> State:
    return {key: torch.full_like(each, value) for key, each in net().state_dict().items()}


def under(prefix: str, state: State) -> State:
    return {prefix + key: value for key, value in state.items()}


def saved(folder: Path, content: object, name: str = "last.ckpt") -> Path:
    torch.save(content, folder / name)
    return folder / name


def loaded(path: Path, *, ema: bool = False, module: nn.Module | None = None) -> tuple[float, tuple[str, ...]]:
    """The value of a module's first weight after loading, and what was said."""
    module = module or net()
    notes = load_weights(module, path, ema)
    return float(next(iter(module.state_dict().values())).flatten()[0]), notes


@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.ckpt", "a.bin", "a.pth.tar", "A.PTH"])
def test_suffixes_of_torch_files(name: str, tmp_path: Path) -> None:
    assert loaded(saved(tmp_path, trained(), name)) == (0.5, ())


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", "net", "network", "params", "params_ema", "ema"])
def test_nested_state_dicts(key: str, tmp_path: Path) -> None:
    assert loaded(saved(tmp_path, {"epoch": 3, key: trained(), "lr": 0.1})) == (0.5, ())
    assert loaded(saved(tmp_path, {"x": 1, key: {"state_dict": trained(), "step": 4}}))[0] == 0.5


@pytest.mark.parametrize(
    "prefix",
    ["module.", "model.", "net.", "_orig_mod.", "model._orig_mod.", "module.model.", "model.module._orig_mod.", "seg.unet."],
)
def test_prefixes_and_their_compositions(prefix: str, tmp_path: Path) -> None:
    assert loaded(saved(tmp_path, under(prefix, trained()))) == (0.5, ())


def test_a_prefix_is_taken_off_only_where_all_of_it_fits(tmp_path: Path) -> None:
    state = under("model.", trained())
    for wrong in ({**state, "model.3.bias": torch.zeros(9)}, {k: v for k, v in state.items() if k != "model.3.bias"}):
        with pytest.raises(RequestError, match=r"weights last.ckpt does not fit: "):
            loaded(saved(tmp_path, wrong))


class Wrapped(nn.Module):
    """Its own names begin with what others' checkpoints have in front."""

    def __init__(self) -> None:
        super().__init__()
        self.model = net()

    def forward(self, image: Tensor) -> Tensor:
        return self.model(image)


def test_a_network_whose_own_names_have_a_prefix(tmp_path: Path) -> None:
    for state in (under("model.", trained()), trained(), under("module.model.", trained()), under("module.", trained())):
        assert loaded(saved(tmp_path, state), module=Wrapped()) == (0.5, ())


def test_names_of_compiled_parts(tmp_path: Path) -> None:
    state = {key.replace("0.", "0._orig_mod.", 1): value for key, value in trained().items()}
    assert any("_orig_mod" in key for key in state)
    assert loaded(saved(tmp_path, state))[0] == 0.5
    assert loaded(saved(tmp_path, under("model.", state)))[0] == 0.5


def test_what_belongs_to_the_training_is_left_out_and_said(tmp_path: Path) -> None:
    state = {**under("model.", trained()), "loss.weight": torch.ones(2), "metric.total": torch.ones(1)}
    value, (note,) = loaded(saved(tmp_path, {"state_dict": state}))
    assert value == 0.5
    assert note == "weights last.ckpt: 9 tensors under 'model.' are taken, 2 others are not (loss.weight, metric.total)"
    assert loaded(saved(tmp_path, {"n_averaged": torch.tensor(5), **under("module.", trained())})) == (0.5, ())


def test_averaged_weights_are_taken_when_asked(tmp_path: Path) -> None:
    both = saved(tmp_path, {"params": trained(0.25), "params_ema": trained(0.75)})
    assert loaded(both)[0] == 0.25
    assert loaded(both, ema=True)[0] == 0.75
    inside = saved(tmp_path, {"state_dict": {**under("model.", trained(0.25)), **under("ema_model.", trained(0.75))}})
    assert loaded(inside)[0] == 0.25
    assert loaded(inside, ema=True)[0] == 0.75
    bare = saved(tmp_path, {**trained(0.25), **under("ema.", trained(0.75))})
    assert loaded(bare)[0] == 0.25
    assert loaded(bare, ema=True)[0] == 0.75
    with pytest.raises(RequestError, match=r"--ema asks for averaged weights, and weights last.ckpt hold none"):
        loaded(saved(tmp_path, trained()), ema=True)
    with pytest.raises(RequestError, match=r"--ema chooses among the weights of a checkpoint; give --weights"):
        build(net, facts=Facts(ema=True))


def test_several_copies_are_not_guessed(tmp_path: Path) -> None:
    state = {**under("teacher.", trained(0.25)), **under("student.", trained(0.75))}
    with pytest.raises(RequestError, match=r"hold the network several times, under 'student.' and 'teacher.'"):
        loaded(saved(tmp_path, state))


def test_a_mismatch_lists_both_sides(tmp_path: Path) -> None:
    state = {key.replace("3.", "head.conv_with_a_long_name_for_a_column."): value for key, value in trained().items()}
    with pytest.raises(RequestError) as caught:
        loaded(saved(tmp_path, state))
    text = str(caught.value)
    assert (
        "3.weight is expected with shape (2, 4, 1, 1), found no such key (2 names missing, 0 of another shape, 2 unknown)"
        in text
    )
    head, weight, bias = caught.value.details
    assert head.split("  ")[0] == "the network needs" and head.endswith("the file has")
    assert weight.startswith("3.weight 2x4x1x1 ") and weight.endswith("column.weight 2x4x1x1")
    assert bias.startswith("3.bias 2 ")
    assert all(len(line) <= 78 for line in caught.value.details)
    many = {f"layers.{k}.weight": torch.zeros(1) for k in range(ROWS + 5)}
    with pytest.raises(RequestError) as caught:
        loaded(saved(tmp_path, many))
    assert caught.value.details[-1][COLUMN:].strip() == "and 5 more"


class Configuration:
    """What a training script may keep in its checkpoint."""


def test_objects_in_a_checkpoint_are_named_with_what_to_do(tmp_path: Path) -> None:
    path = saved(tmp_path, {"state_dict": trained(), "hyper_parameters": Configuration()})
    with pytest.raises(RequestError) as caught:
        loaded(path)
    text = str(caught.value)
    assert "hold Python objects (tests.unit.models.test_fitting.Configuration), which may carry code; only tensors" in text
    line = text.partition("run python -c ")[2].partition(" and give weights.pth")[0]
    code = line.strip('"').replace("'weights.pth'", repr(str(tmp_path / "weights.pth")))
    exec(code)  # what the message says works
    assert loaded(tmp_path / "weights.pth")[0] == 0.5
    saved(tmp_path, net())
    exec(code)
    assert (tmp_path / "weights.pth").stat().st_size > 0
    load_weights(net(), tmp_path / "weights.pth")
