"""A wrong request ends in one line and an exit code, before any work; what is printed fits its reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import onenet
from onenet.calibration.samples import default_calibration
from tests.unit.cli.invoked import refused, run

TINY = ["--random-weights", "--width", "2", "--no-spatial", "--input-size", "16", "32"]


# --- refused before anything is loaded -----------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--target", "nothing"], "target 'nothing' is not known; supported: tflite, onnx, coreml"),
        (["-t", "onnx", "-t", "TFLite"], "target 'TFLite' is not known"),
        (["--precision", "int4"], "precision 'int4' does not exist for tflite; supported: fp32, fp16, int8, w8"),
        (["-t", "coreml", "-p", "int4"], "precision 'int4' does not exist for coreml; supported: "),
        (["--io", "int8"], "int8 input and output need --precision int8, found fp32; use --io float"),
        (["--io", "int8", "-p", "fp16", "-p", "fp32"], "need --precision int8, found fp16"),
        (
            ["--io", "int8", "--int8", "-t", "coreml"],
            "coreml has no int8 input and output; use --io float, or",
        ),
        (["--io", "uint8"], "io 'uint8' is not known; supported: float, int8"),
        (["--io", "uint8", "--int8", "-p", "fp32"], "io 'uint8' is not known"),
        (["--kernel", "3", "--no-spatial"], "--kernel and --no-spatial exclude each other"),
        (["--int8", "--max-drop", "1", "--min-sqnr", "30"], "--max-drop and --min-sqnr exclude each other; give one budget"),
        (["--int8", "--estimator", "best"], "estimator 'best' is not known; supported: auto, min-max, percentile, mse"),
        (["--int8", "--x86-safe", "maybe"], "x86-safe 'maybe' is not known; supported: auto, yes, no"),
        (["--int8", "--recipe", "none.json"], "cannot read the recipe none.json: No such file or directory"),
        (["--int8", "--calibration", "none.json"], "cannot read the calibration record none.json: No such file"),
        (["--int8", "--calibration", "r.json", "--estimator", "mse"], "r.json fixes every scale already; --estimator would"),
        (["--min-sqnr", "30"], "--min-sqnr only changes int8, which was not asked for; add --int8"),
        (["--calibration", "photos"], "--calibration only changes int8, which was not asked for; add --int8"),
        (["--calibration-samples", "8", "-p", "fp16"], "--calibration-samples only changes int8"),
        (["--mean", "imagnet"], "--mean takes imagenet or 0-255, or numbers"),
        (["--model", "nothing.py:make"], "model file nothing.py does not exist"),
        (["--model", "onenet_ed4"], "supported: onenet-ed4"),
        (["--weights", "last.ckptt"], "suffix '.ckptt' is not supported"),
        (["--int8", "--no-winograd"], "--no-winograd is for fp32, found int8; leave it out"),
        (["-p", "w8", "--estimator", "mse", "--x86-safe", "yes"], "--estimator, --x86-safe only changes int8"),
    ],
)
def test_impossible_combinations(monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str) -> None:
    monkeypatch.setattr("onenet.exporters.batch.need_converters", lambda: pytest.fail("work was begun"))
    assert says in refused("export", *arguments)


def test_int8_ends_for_the_int8_artifact_of_several(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Begun(Exception):
        """The request was accepted."""

    def begun() -> None:
        raise Begun

    monkeypatch.setattr("onenet.exporters.batch.need_converters", begun)
    result = run("export", "--io", "int8", "--int8", "-p", "fp32", "--out", str(tmp_path))
    assert isinstance(result.exception, Begun)


def test_an_output_folder_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("onenet.exporters.batch.need_converters", lambda: pytest.fail("work was begun"))
    (tmp_path / "file").write_text("here")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        assert f"output folder {out} cannot be written: Not a directory" in refused("export", "--out", str(out))


# --- refused before the model is lowered ----------------------------------


@pytest.fixture
def no_lowering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onenet.lowering.lower", lambda _: pytest.fail("work was begun"))


@pytest.mark.usefixtures("no_lowering")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--input-size", "250", "256"], "250x256 is not divisible by 16, which onenet-ed4 needs; nearest: 256x256"),
        (["--weights", "nothing.pt"], "weights file nothing.pt does not exist; give an existing .safetensors"),
        (["--weights", "net.onnx"], "suffix '.onnx' is not supported; use .safetensors, .pt, .pth"),
        (["--model", "unet"], "model 'unet' is not known; supported: onenet-ed4"),
        (["--model", "nothing.py:make"], "model file nothing.py does not exist"),
        (["--model", "onenet-e5"], "no trained weights are shipped for onenet-e5; give --weights FILE, --random-weights"),
        (["--config", "nothing.yaml"], "configuration nothing.yaml cannot be read"),
        (["--output", "masks"], "output 'masks' is not known; supported: logits, probabilities, labels"),
        (["--kernel", "4", "--random-weights"], "kernel must be an odd whole number, found 4"),
        ([*TINY, "--evaluation", "nothing"], "cannot find nothing: expected a folder of images"),
        ([*TINY, "--int8", "--calibration", "nothing"], "cannot find nothing: expected a folder of images"),
    ],
)
def test_models_and_files_that_are_wrong(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert says in refused("export", *arguments)
    assert list(tmp_path.iterdir()) == []


def truncated(folder: Path) -> Path:
    (folder / "photos").mkdir()
    for path in sorted(default_calibration().glob("*.jpg"))[:3]:
        (folder / "photos" / path.name).write_bytes(path.read_bytes()[:700])
    return folder / "photos"


def text_file(folder: Path) -> Path:
    (folder / "notes.txt").write_text("no image")
    return folder / "notes.txt"


def npz(array: np.ndarray) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        np.savez(folder / "images.npz", array)
        return folder / "images.npz"

    return make


@pytest.mark.usefixtures("no_lowering")
@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: folder, "holds no image; names that count end in .bmp"),
        (truncated, "holds 3 image file(s), none readable: cannot read the image "),
        (text_file, "notes.txt: not recognised as an image"),
        (npz(np.ones((2, 3, 16, 16), np.float32)), "holds float32 (2, 3, 16, 16); expected "),
        (npz(np.full((2, 3, 16, 32), 255, np.float32)), "holds values from 255 to 255"),
        (npz(np.array([{}])), "cannot read "),
    ],
)
def test_calibration_images_that_are_none(tmp_path: Path, make: Callable[[Path], Path], says: str) -> None:
    line = refused("export", *TINY, "--int8", "--calibration", str(make(tmp_path)), "--out", str(tmp_path / "out"))
    assert says in line
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("no_lowering")
def test_int8_of_a_network_that_takes_no_image(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "from torch import nn\nfrom onenet.spec import *\n"
        "def make():\n"
        "    io = [TensorSpec(n, 'embedding', (1, 5)) for n in ('a', 'b')]\n"
        "    return nn.Identity(), ModelSpec('flat', 'other', (io[0],), (io[1],))\n"
    )
    line = refused("export", "--model", f"{tmp_path / 'net.py'}:make", "--int8", "--out", str(tmp_path / "out"))
    assert "int8 of flat needs samples: give --calibration FILE.npz with the arrays a" in line


@pytest.mark.usefixtures("no_lowering")
def test_a_file_system_error_nobody_expected_is_one_line(tmp_path: Path) -> None:
    assert "File name too long" in refused("export", "--weights", "x" * 300 + ".pt", "--out", str(tmp_path), code=3)


def test_ctrl_c_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("onenet.exporters.batch.need_converters", interrupted)
    result = run("export", "--out", str(tmp_path))
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr == "interrupted: nothing half-written was left behind\n"


@pytest.mark.parametrize(
    "arguments", [["export", "--width", "abc"], ["export", "--nothing"], ["nothing"], ["verify"], ["export", "--width", "0"]]
)
def test_what_the_parser_refuses_is_exit_code_2(arguments: list[str]) -> None:
    assert " --help" in refused(*arguments)


# --- what is printed ------------------------------------------------------


def test_the_version() -> None:
    result = run("--version")
    assert (result.exit_code, result.output) == (0, f"onenet {onenet.__version__}\n")
