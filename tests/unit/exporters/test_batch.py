"""``export_all`` from Python: refusals before any work, steps and warnings."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

import onenet
from onenet.base.progress import Progress
from onenet.calibration.samples import LabelledImages, Samples
from onenet.errors import CheckError, ConversionError, OneNetError, RequestError, ToolError
from onenet.exporters.batch import export_all, load_evaluation
from onenet.exporters.options import ExportOptions
from onenet.exporters.results import ExportedArtifact


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"target": "nothing"}, "target 'nothing' is not known"),
        ({"kernel": 3, "no_spatial": True}, "--kernel and --no-spatial exclude each other"),
        ({"tile": 0}, "a tile of 0 pixels was asked for"),
        ({"min_sqnr": 3.0}, "--min-sqnr only changes int8"),
        ({"int8": True, "min_sqnr": 3.0, "max_drop": 1.0}, "give one budget"),
    ],
)
def test_it_is_refused_before_any_work(given: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onenet.exporters.batch.need_converters", lambda: pytest.fail("work was begun"))
    with pytest.raises(RequestError, match=says):
        onenet.export_all(ExportOptions(**given))


def test_it_tells_its_steps_and_warns(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: list[str] = []

    class Told(Progress):
        def start(self, step: str, total: int | None = None) -> None:
            del total
            told.append(step)

    class Stop(Exception):
        pass

    def stop(*_: object) -> None:
        raise Stop

    monkeypatch.setattr("onenet.exporters.batch.lower_quietly", stop)
    options = ExportOptions(random_weights=True, width=2, no_spatial=True, input_size=(16, 32), int8=True, out=tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(Stop):
            export_all(options, Told())
    assert told == ["loading PyTorch", "building the model", "reading the images"]
    with pytest.raises(Stop), pytest.warns(UserWarning, match="calibrating on the shipped nuclei images"):
        export_all(options)


NET = """
from torch import nn

def make():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1))
"""


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    """Of an export of a small network."""
    (tmp_path / "net.py").write_text(NET)
    return {"model": f"{tmp_path / 'net.py'}:make", "input_size": (8, 8), "out": tmp_path / "out"}


def fail_at(errors: dict[tuple[str, str], BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let these pairs fail, and make no file of the others."""

    def make(_: object, target: str, precision: str, *__: object) -> ExportedArtifact:
        if (target, precision) in errors:
            raise errors[target, precision]
        return ExportedArtifact(Path(f"{target}_{precision}"), {"task": "segmentation"}, 1, 0.0, None, None)

    monkeypatch.setattr("onenet.exporters.batch.make_artifact", make)


@pytest.mark.parametrize(("error", "code"), [(CheckError("wrong"), 1), (RequestError("no"), 2), (ToolError("broken"), 3)])
def test_a_pair_that_fails_does_not_end_the_others(
    error: OneNetError, code: int, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_at({("tflite", "fp32"): error}, monkeypatch)
    exports = onenet.export_all(ExportOptions(target=("tflite", "onnx"), precision=("fp32", "fp16"), **options))
    assert [each.path.name for each in exports] == ["tflite_fp16", "onnx_fp32", "onnx_fp16"]
    assert [(each.target, each.precision, each.error) for each in exports.failed] == [("tflite", "fp32", error)]
    assert exports.exit_code == code


def test_where_every_pair_fails_it_is_an_error(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    only = ToolError("broken")
    fail_at({("tflite", "fp32"): only, ("onnx", "fp32"): CheckError("wrong")}, monkeypatch)
    with pytest.raises(ToolError) as caught:
        onenet.export_all(ExportOptions(**options))
    assert caught.value is only
    with pytest.raises(CheckError, match=r"^nothing could be exported: tflite fp32: broken; onnx fp32: wrong$"):
        onenet.export_all(ExportOptions(target=("tflite", "onnx"), **options))


@pytest.mark.parametrize("ending", [KeyboardInterrupt(), SystemExit(3)])
def test_who_ends_it_ends_it_all(ending: BaseException, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    fail_at({("tflite", "fp32"): ending}, monkeypatch)
    with pytest.raises(type(ending)):
        onenet.export_all(ExportOptions(target=("tflite", "onnx"), **options))


@pytest.mark.filterwarnings("ignore:calibrating on the shipped nuclei images")
@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (CheckError("no budget holds"), CheckError, "no budget holds"),
        (IndexError("x"), ConversionError, "calibrating make for int8 failed: IndexError: x; try -p w8 or -p fp16"),
    ],
)
def test_a_calibration_that_fails_does_not_end_other_precisions(
    error: Exception, kind: type[OneNetError], reason: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def observe(*_: object, **__: object) -> None:
        raise error

    fail_at({}, monkeypatch)
    monkeypatch.setattr("onenet.calibration.observe.observe", observe)
    exports = onenet.export_all(ExportOptions(target=("tflite", "onnx"), precision="fp32", int8=True, **options))
    assert [each.path.name for each in exports] == ["tflite_fp32", "onnx_fp32"]
    assert [(each.target, each.precision) for each in exports.failed] == [("tflite", "int8"), ("onnx", "int8")]
    assert (type(exports.failed[0].error), exports.failed[0].reason) == (kind, reason)
    with pytest.raises(kind) as caught:  # of the same reason for every target there is one line
        onenet.export_all(ExportOptions(target=("tflite", "onnx"), int8=True, **options))
    assert str(caught.value) == reason


class Two(nn.Module):
    """Two outputs, which no task scores."""

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"out": image[:, :2] * 2, "aux": image.mean((2, 3))}


def test_masks_that_nothing_is_scored_against_are_refused(tmp_path: Path) -> None:
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
        Image.new("L", (8, 8)).save(tmp_path / part / "a.png")
    options = ExportOptions(evaluation=tmp_path)
    with pytest.raises(RequestError, match=r"has masks, and Two gives out .*: --output-key chooses one of several outputs"):
        load_evaluation(options, onenet.build(Two(), input_size=(8, 8)))
    chosen = onenet.build(Two(), input_size=(8, 8), facts=onenet.Facts(output_key="out"))
    found = load_evaluation(options, chosen)
    assert isinstance(found, LabelledImages) and found.labels.shape == (1, 8, 8)
    alone = load_evaluation(ExportOptions(evaluation=tmp_path / "images"), onenet.build(Two(), input_size=(8, 8)))
    assert isinstance(alone, Samples) and len(alone) == 1
