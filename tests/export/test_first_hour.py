"""A new user's first hour: a network, a checkpoint and masks as other people's training scripts leave them, and one command."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor, nn

import onenet
from tests.house.product import REPOSITORY
from tests.shared import made_once
from tests.unit.cli.invoked import refused, run

SIZE = (32, 48)
VOID = 128
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

BLOCKS = """
from torch import nn


def block(cin, cout):
    return nn.Sequential(nn.Conv2d(cin, cout, 3, padding=1, bias=False), nn.BatchNorm2d(cout), nn.ReLU(inplace=True))
"""
NET = """
import torch
from torch import nn

from hour_blocks import block


class UNet(nn.Module):
    def __init__(self, classes=2):
        super().__init__()
        self.enc1, self.enc2, self.mid = block(3, 8), block(8, 16), block(16, 16)
        self.pool = nn.MaxPool2d(2)
        self.up2, self.up1 = nn.ConvTranspose2d(16, 16, 2, 2), nn.ConvTranspose2d(16, 8, 2, 2)
        self.dec2, self.dec1 = block(32, 16), block(16, 8)
        self.head = nn.Conv2d(8, classes, 1)

    def forward(self, x):
        a = self.enc1(x)
        b = self.enc2(self.pool(a))
        m = self.mid(self.pool(b))
        d = self.dec2(torch.cat([self.up2(m), b], 1))
        d = self.dec1(torch.cat([self.up1(d), a], 1))
        return {"out": self.head(d)}


def make():
    return UNet()


def make_one():
    return UNet(1)


class Small(UNet):
    def __init__(self):
        super().__init__()
        self.small = nn.Conv2d(16, 2, 1)

    def forward(self, x):
        return self.small(self.mid(self.pool(self.enc2(self.pool(self.enc1(x))))))


def make_small():
    return Small()
"""


def scene(rng: np.random.Generator) -> tuple[Image.Image, Image.Image]:
    """A picture of bright discs on noise, and its mask: 0, 255 on discs, 128 around them."""
    height, width = SIZE
    picture = Image.fromarray(rng.integers(20, 90, (height, width, 3), dtype=np.uint8))
    mask = Image.new("L", (width, height))
    for _ in range(3):
        x, y, r = (int(rng.integers(*limits)) for limits in ((6, width - 6), (6, height - 6), (3, 7)))
        ImageDraw.Draw(mask).ellipse((x - r - 1, y - r - 1, x + r + 1, y + r + 1), fill=VOID)
        ImageDraw.Draw(mask).ellipse((x - r, y - r, x + r, y + r), fill=255)
        ImageDraw.Draw(picture).ellipse((x - r, y - r, x + r, y + r), fill=(230, 150, 60))
    return picture, mask


def folder_of(folder: Path, count: int, seed: int) -> Path:
    """``images/`` and ``masks/``."""
    rng = np.random.default_rng(seed)
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for k in range(count):
        for part, picture in zip(("images", "masks"), scene(rng), strict=True):
            picture.save(folder / part / f"scene{k}.png")
    return folder


def read(folder: Path) -> tuple[Tensor, NDArray[np.int64]]:
    """Pictures as this user's script normalises them, and masks: 0, 1, and -1 where nothing is said."""
    names = sorted(path.name for path in (folder / "images").iterdir())
    pictures = np.stack([np.asarray(Image.open(folder / "images" / name)) for name in names]).transpose(0, 3, 1, 2) / 255
    masks = np.stack([np.asarray(Image.open(folder / "masks" / name)) for name in names])
    mean, std = (np.array(values).reshape(1, 3, 1, 1) for values in (MEAN, STD))
    labels = np.where(masks == VOID, -1, masks.astype(np.int64) // 255)
    return torch.from_numpy((pictures - mean) / std).float(), labels


def mean_iou(labels: NDArray[Any], truth: NDArray[np.int64]) -> float:
    """As a script of three lines computes it."""
    kept = truth >= 0
    pairs = [(labels[kept] == k, truth[kept] == k) for k in (0, 1)]
    return float(np.mean([(a & b).sum() / (a | b).sum() for a, b in pairs]))


def network(folder: Path, factory: str) -> nn.Module:
    """This user's own import."""
    sys.path.insert(0, str(folder))
    scope: dict[str, Any] = {}
    exec(compile(NET, "net.py", "exec"), scope)
    module: nn.Module = scope[factory]()
    return module


def whole(result: Any) -> Tensor:
    """What a network returns, at the size of the pictures."""
    out: Tensor = result["out"] if isinstance(result, dict) else result
    return nn.functional.interpolate(out, SIZE, mode="bilinear", align_corners=False)


def trained(folder: Path, factory: str) -> dict[str, Tensor]:
    """What training leaves: sixty steps on twelve scenes."""
    torch.manual_seed(0)
    module = network(folder, factory).train()
    pictures, labels = read(folder_of(folder / f"training_{factory}", 12, 1))
    truth = torch.from_numpy(labels)
    optimizer = torch.optim.AdamW(module.parameters(), lr=2e-2)
    for _ in range(60):
        out = whole(module(pictures))
        if out.shape[1] == 2:
            loss = nn.functional.cross_entropy(out, truth, ignore_index=-1)
        else:
            kept = truth >= 0
            loss = nn.functional.binary_cross_entropy_with_logits(out[:, 0][kept], truth[kept].float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return module.state_dict()


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder: code in two files, a Lightning checkpoint, validation images with masks, and photos."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "hour_blocks", raising=False)
    (tmp_path / "hour_blocks.py").write_text(BLOCKS)
    (tmp_path / "net.py").write_text(NET)
    folder_of(tmp_path / "validation", 6, 2)
    folder_of(tmp_path / "photos", 8, 3)
    for factory in ("make", "make_one", "make_small"):
        state = made_once(f"first_hour_{factory}", lambda factory=factory: trained(tmp_path, factory))
        content = {"epoch": 60, "global_step": 720, "pytorch-lightning_version": "2.5.0", "hyper_parameters": {"lr": 2e-2}}
        lightning = {f"model._orig_mod.{key}": value for key, value in state.items()} | {"loss.weight": torch.ones(2)}
        torch.save({**content, "state_dict": lightning, "optimizer_states": [{"state": {}}]}, tmp_path / f"{factory}.ckpt")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def own_miou(user: Path, factory: str = "make") -> float:
    """By the user's script: the float network on normalised pictures."""
    module = network(user, factory)
    state = torch.load(user / f"{factory}.ckpt", weights_only=True)["state_dict"]
    module.load_state_dict({key.removeprefix("model._orig_mod."): value for key, value in state.items() if key[0] == "m"})
    pictures, truth = read(user / "validation")
    with torch.no_grad():
        out = whole(module.eval()(pictures))
    return mean_iou((out.argmax(1) if out.shape[1] == 2 else (out[:, 0] > 0).long()).numpy(), truth)


DATA = ("--evaluation", "validation", "--calibration", "photos/images", "--int8", "--json")
SAID = ("--model", "net.py:make", "--weights", "make.ckpt", "--mean", "imagenet", "--class-names", "background,cell")
SHAPE = ("--ignore-index", str(VOID), "--input-size", "32", "48")


def exported(*arguments: str) -> list[dict[str, Any]]:
    result = run("export", *arguments)
    assert result.exit_code == 0, result.stderr
    rows: list[dict[str, Any]] = json.loads(result.stdout)
    return rows


def test_one_command_from_a_lightning_checkpoint_to_checked_int8_files(user: Path) -> None:
    rows = exported(*SAID, *SHAPE, *DATA, "-t", "tflite", "-t", "coreml", "--preview")
    own = own_miou(user)
    assert own > 0.85  # it learned something, or nothing below says much
    assert [row["target"] for row in rows] == ["tflite", "coreml"]
    for row in rows:
        assert row["quality"]["miou_float"] == pytest.approx(own, abs=2e-3)
        assert row["quality"]["miou"] > own - 0.05
        assert row["verification"]["passed"]
        with Image.open(row["preview"]) as picture:
            assert picture.width > 400
        manifest = json.loads(Path(f"{row['path']}.json").read_text())
        assert [each["name"] for each in manifest["classes"]] == ["background", "cell"]
        assert "mean 0.485,0.456,0.406 and std 0.229,0.224,0.225" in manifest["normalisation"]
        assert (manifest["ignore_index"], manifest["upsampling"], manifest["threshold"]) == (VOID, None, None)
        assert manifest["source"]["weights"] == "make.ckpt"
    file = Path(rows[0]["path"])
    result = run("run", str(file), "validation/images", "--out", "masks")
    assert result.exit_code == 0, result.stderr
    _, truth = read(user / "validation")
    masks = np.stack([np.asarray(Image.open(user / "masks" / f"scene{k}.mask.png")) for k in range(6)])
    assert mean_iou(masks, truth) == pytest.approx(rows[0]["quality"]["miou"], abs=1e-6)
    # the same in a file beside the network gives the same bytes
    lines = ('weights = "make.ckpt"', 'mean = "imagenet"', 'class-names = ["background", "cell"]', "ignore-index = 128")
    (user / "model.toml").write_text("\n".join([*lines, "input-size = [32, 48]"]))
    (again,) = exported("--model", "net.py:make", *DATA, "--out", "again")
    assert Path(again["path"]).read_bytes() == file.read_bytes()
    said = refused("export", "--model", "net.py:make", "--mean", "0.5", *DATA)
    assert "mean is 0.5 by the options and 0.485,0.456,0.406 by model.toml; say it in one place" in said


def test_the_python_of_the_page_runs(user: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs" / "bring-your-own.md").read_text(), re.DOTALL)
    (user / "make.ckpt").rename("last.ckpt")
    scope = {"onenet": onenet}
    exec(code, scope)
    model: Any = scope["model"]
    assert [each.name for each in model.spec.classes] == ["background", "road"]


def test_what_was_forgotten_is_said(user: Path) -> None:
    forgotten = [each for each in SAID if each not in ("--mean", "imagenet")]
    result = run("export", *forgotten, *SHAPE, "--evaluation", "validation", "--no-verify")
    assert result.exit_code == 0, result.stderr
    assert own_miou(user) > 0.85
    warning = " ".join(result.stderr.split())
    assert "make in float scores mIoU 0." in warning and "give --mean and --std, such as --mean imagenet" in warning
    no_void = [*SAID, "--input-size", "32", "48", "--evaluation", "validation"]
    assert "holds 128; the model has 2 classes" in refused("export", *no_void)
    assert "--output-key logits is no output of make; it returns out" in refused("export", *SAID, "--output-key", "logits")


@pytest.mark.parametrize("target", ["tflite", "onnx", "coreml"])
def test_a_network_of_one_class(user: Path, target: str) -> None:
    arguments = ["--model", "net.py:make_one", "--weights", "make_one.ckpt", "--mean", "imagenet", "--class-names", "cell"]
    (row,) = exported(*arguments, *SHAPE, *DATA, "-t", target, "--preview")
    own = own_miou(user, "make_one")
    assert own > 0.85
    assert row["quality"]["miou_float"] == pytest.approx(own, abs=2e-3)
    assert row["quality"]["miou"] > own - 0.05
    assert row["quality"]["label_agreement"] > 0.97
    assert Path(row["preview"]).exists()
    manifest = json.loads(Path(f"{row['path']}.json").read_text())
    assert (manifest["threshold"], [each["name"] for each in manifest["classes"]]) == (0.5, ["background", "cell"])
    result = run("run", row["path"], "validation/images", "--out", "masks")
    assert result.exit_code == 0, result.stderr
    _, truth = read(user / "validation")
    masks = np.stack([np.asarray(Image.open(user / "masks" / f"scene{k}.mask.png")) for k in range(6)])
    assert mean_iou(masks, truth) == pytest.approx(row["quality"]["miou"], abs=1e-6)


@pytest.mark.parametrize(("target", "inside"), [("onnx", False), ("tflite", True)])
def test_logits_of_a_lower_resolution(user: Path, target: str, inside: bool) -> None:
    arguments = ["--model", "net.py:make_small", "--weights", "make_small.ckpt", "--mean", "imagenet"]
    (row,) = exported(*arguments, *SHAPE, *DATA, "-t", target, "--preview", *(["--resize-output"] if inside else []))
    own = own_miou(user, "make_small")
    assert own > 0.7
    assert row["quality"]["miou_float"] == pytest.approx(own, abs=2e-3)
    assert row["quality"]["miou"] > own - 0.05
    manifest = json.loads(Path(f"{row['path']}.json").read_text())
    assert manifest["upsampling"] == (None if inside else [4, 4])
    result = run("run", row["path"], "validation/images", "--out", "masks")
    assert result.exit_code == 0, result.stderr
    _, truth = read(user / "validation")
    masks = np.stack([np.asarray(Image.open(user / "masks" / f"scene{k}.mask.png")) for k in range(6)])
    assert mean_iou(masks, truth) == pytest.approx(row["quality"]["miou"], abs=1e-6)
