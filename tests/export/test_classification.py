"""A small classifier of six classes on all targets in int8: verified, scored, drawn, run; and faults in it are found."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

import onenet
from onenet.base.quiet import quiet
from onenet.calibration.quantized import QuantizedModel
from onenet.calibration.samples import LabelledImages, load_labelled
from onenet.cli.app import app
from onenet.errors import CheckError
from onenet.exporters import judgement
from onenet.exporters.pipeline import export
from onenet.exporters.preview import preview
from onenet.exporters.results import ExportedArtifact
from onenet.runtimes import parity
from onenet.runtimes.artifact import Artifact
from onenet.spec import ClassSpec, ModelSpec, TensorSpec
from onenet.targets import suffixes
from onenet.tasks.classification import TASK

TARGETS = list(suffixes())
SIDE = 32
NAMES = ("red rows", "red columns", "green rows", "green columns", "blue rows", "blue columns")
CLASSES = tuple(ClassSpec(name, colour) for name, colour in zip(NAMES, ["#aa0000", "#ff0000"] * 3, strict=True))


def pictures(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Waves in one colour, along rows or columns, (N, 3, 32, 32) in [0, 1]; the class is which of the six."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % len(NAMES)
    images = rng.uniform(0.05, 0.3, (count, 3, 1, 1)) + rng.normal(0, 0.03, (count, 3, SIDE, SIDE))
    axes = np.mgrid[:SIDE, :SIDE]
    for image, label in zip(images, labels, strict=True):
        image[label // 2] += 0.3 + 0.3 * np.sin(axes[label % 2] * 0.8 + rng.uniform(0, 6))
    return np.clip(images, 0, 1).astype(np.float32), labels


@functools.cache
def trained() -> nn.Module:
    """Convolutions, ReLU, pooling and a linear layer, with its classes well apart."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(12, 24, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(24, len(NAMES)),
    )
    images, labels = map(torch.from_numpy, pictures(48, 0))
    optimiser = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(120):
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(images), labels).backward()
        optimiser.step()
    return net.requires_grad_(False)


def network() -> tuple[nn.Module, ModelSpec]:
    """As a factory gives it, with names for its classes."""
    image = TensorSpec("image", "image", (1, 3, SIDE, SIDE), "NCHW", value_range=(0.0, 1.0))
    logits = TensorSpec("logits", "logits", (1, len(NAMES)), "NC")
    return trained(), ModelSpec("waves", "classification", (image,), (logits,), CLASSES)


@functools.cache
def quantized() -> QuantizedModel:
    with quiet():
        return onenet.calibrate(onenet.lower(onenet.build(network)), list(pictures(16, 1)[0]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A labelled folder: ``CLASS/N.png``, four of each class."""
    root = tmp_path_factory.mktemp("classes")
    for place, (image, label) in enumerate(zip(*pictures(24, 2), strict=True)):
        (root / NAMES[label]).mkdir(exist_ok=True)
        pixels = np.rint(image.transpose(1, 2, 0) * 255).astype(np.uint8)
        Image.fromarray(pixels).save(root / NAMES[label] / f"{place}.png")
    return root


@pytest.fixture(scope="module")
def evaluation(folder: Path) -> LabelledImages:
    return load_labelled(folder, SIDE, SIDE, task="classification", classes=CLASSES)


@pytest.fixture(scope="module")
def exported(evaluation: LabelledImages, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ExportedArtifact]:
    """int8 of a target, converted once."""
    out = tmp_path_factory.mktemp("exported")
    return functools.cache(lambda target: export(quantized(), target=target, out=out, evaluation=evaluation))


def test_the_labels_are_the_folders(evaluation: LabelledImages) -> None:
    assert evaluation.labels.tolist() == [k for k in (5, 4, 3, 2, 1, 0) for _ in range(4)]  # in name order


@pytest.mark.parametrize("target", TARGETS)
def test_int8_is_verified_and_scored(target: str, exported: Callable[[str], ExportedArtifact]) -> None:
    artifact = exported(target)
    assert artifact.manifest["task"] == "classification"
    assert artifact.manifest["golden"]["outputs"][0]["shape"] == [1, len(NAMES)]  # every class of the image
    assert artifact.verification is not None and artifact.quality is not None
    checks = {check.name: check for check in artifact.verification.checks}
    assert checks["values of logits"].passed and checks["agreement"].passed
    assert "top-1 classes agree on 100.00%" in checks["values of logits"].detail
    assert checks["values of logits on 2 samples"].passed
    assert "top-1 classes agree on 100.00% (>= 99%), of 24 images" in checks["agreement"].detail
    assert artifact.quality.label_agreement == 1.0
    assert artifact.quality.scores == {"top1": 1.0, "top5": 1.0, "top5_agreement": 1.0}
    assert artifact.quality.float_scores == {"top1": 1.0, "top5": 1.0}
    assert artifact.quality.sqnr_db is not None and artifact.quality.sqnr_db > 20


FAULTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "classes in another order": lambda logits: logits[:, ::-1],
    "a last layer of zeros": lambda logits: logits * 0,
    "the bias of one class": lambda logits: logits + 20 * np.eye(len(NAMES), dtype=np.float32)[2],
}


def plant(monkeypatch: pytest.MonkeyPatch, fault: Callable[[np.ndarray], np.ndarray]) -> None:
    """Every artifact that is opened from now on has the fault."""
    right = Artifact.run
    wrong = lambda self, feeds: {name: fault(value) for name, value in right(self, feeds).items()}  # noqa: E731
    monkeypatch.setattr(Artifact, "run", wrong)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("target", TARGETS)
def test_a_fault_fails_the_golden_pair(
    target: str, fault: str, exported: Callable[[str], ExportedArtifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = exported(target).path
    plant(monkeypatch, FAULTS[fault])
    failed = [check for check in parity.verify_here(path).checks if check.passed is False]
    assert [check.name for check in failed] == ["values of logits"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_the_golden_pair_lets_through_fails_on_the_images(
    fault: str, evaluation: LabelledImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, FAULTS[fault])
    monkeypatch.setattr(parity, "check_values_here", lambda _: [])
    monkeypatch.setattr(judgement, "check_pictures", lambda *_: [])
    with pytest.raises(CheckError, match=r"failed its check of agreement: top-1 classes agree on \d+\.\d+% .* of 24 images"):
        export(quantized(), target="onnx", out=tmp_path, evaluation=evaluation)
    assert list(tmp_path.iterdir()) == []


def test_a_converter_that_swaps_two_classes_writes_nothing(
    evaluation: LabelledImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onenet.exporters.job import Job

    class Swapped(nn.Module):
        def __init__(self, module: nn.Module) -> None:
            super().__init__()
            self.module = module

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            a, b, *rest = self.module(image).split(1, 1)
            return torch.cat([b, a, *rest], 1)

    right = Job.arranged.func  # type: ignore[attr-defined]  # of a cached property
    monkeypatch.setattr(
        Job, "arranged", property(lambda job: (made := right(job)).__class__(**{**vars(made), "module": Swapped(made.module)}))
    )
    with pytest.raises(CheckError, match="failed its check of values of logits"):
        export(onenet.lower(onenet.build(network)), target="onnx", out=tmp_path, evaluation=evaluation)
    assert list(tmp_path.iterdir()) == []


def test_the_picture_shows_images_and_bars(exported: Callable[[str], ExportedArtifact], evaluation: LabelledImages) -> None:
    path, reason = preview(exported("onnx"), quantized().model, evaluation)
    assert reason is None and path is not None
    content = path.read_bytes()
    assert preview(exported("onnx"), quantized().model, evaluation)[0] == path
    assert path.read_bytes() == content
    with Image.open(path) as picture:
        pixels = np.asarray(picture)
    assert pixels.shape[1] == 1098
    assert (pixels == (0x00, 0x72, 0xB2)).all(-1).sum() > 10_000  # the artifact's bars


@pytest.mark.filterwarnings("ignore:this CPU has no VNNI")  # true of some machines, and said in tests of its own
def test_run_prints_five_classes_and_writes_all(exported: Callable[[str], ExportedArtifact], tmp_path: Path) -> None:
    pixels = np.rint(pictures(6, 3)[0][3].transpose(1, 2, 0) * 255).astype(np.uint8)
    Image.fromarray(pixels).resize((90, 70)).save(tmp_path / "photo.png")
    result = CliRunner().invoke(app, ["run", str(exported("onnx").path), str(tmp_path)])
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stdout.splitlines() if " %  " in line]
    assert len(lines) == 5 and lines[0].endswith("%  green columns")
    written = json.loads((tmp_path / "photo.classes.json").read_text())["classes"]
    assert written[0]["class"] == 3 and len(written) == len(NAMES)
    assert sum(each["probability"] for each in written) == pytest.approx(1, abs=1e-5)
    (again,) = onenet.run(exported("onnx").path, [tmp_path / "photo.png"])
    assert again.as_dict()["top"] == written[:5]
    assert again.run_as == "resized to 32x32"
    assert "green columns" in repr(again) and "green columns" in again._repr_html_()


def test_one_image_is_not_cut_into_tiles(exported: Callable[[str], ExportedArtifact], tmp_path: Path) -> None:
    Image.new("RGB", (90, 70)).save(tmp_path / "photo.png")
    result = CliRunner().invoke(app, ["run", str(exported("onnx").path), str(tmp_path / "photo.png"), "--fit", "tile"])
    assert result.exit_code == 2
    assert "gives one class for a whole image, so there are no tiles" in result.stderr


FACTORY = """
from tests.export.test_classification import network
"""


def test_the_command_line_reads_a_labelled_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(FACTORY)
    options = ["--model", f"{tmp_path}/net.py:network", "--target", "onnx", "--evaluation", str(folder), "--preview"]
    result = CliRunner().invoke(app, ["export", *options, "--out", str(tmp_path / "out")], env={"COLUMNS": "100"})
    assert result.exit_code == 0, result.output
    assert "top-1" in result.stdout and "100.00%" in result.stdout
    assert "top-1 of the float model on them: 1.0000." in result.stdout
    assert (tmp_path / "out" / "waves_fp32.onnx.png").exists()


@pytest.mark.parametrize(("output", "shape", "dtype"), [("probabilities", [1, 6], "float32"), ("labels", [1], "int32")])
def test_other_outputs(output: str, shape: list[int], dtype: str, evaluation: LabelledImages, tmp_path: Path) -> None:
    model = onenet.lower(onenet.build(network, output=output))
    artifact = export(model, target="onnx", out=tmp_path, evaluation=evaluation)
    (spec,) = artifact.manifest["outputs"]
    assert (spec["role"], list(spec["shape"]), spec["dtype"]) == (output, shape, dtype)
    assert artifact.quality is not None and artifact.quality.scores["top1"] == 1.0
    assert artifact.quality.label_agreement == 1.0


def test_the_task_is_read_off_the_outputs() -> None:
    model = onenet.build(trained(), input_size=(SIDE, SIDE))
    assert model.spec.task == TASK.name
    assert model.spec.outputs == (TensorSpec("logits", "logits", (1, 6), "NC"),)
    assert len(model.spec.classes) == 6
