"""``onenet export --tests``: each checker passes what is right, and names the step where an app goes wrong, in equal words."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import onenet
from onenet.base.images import read_image
from onenet.calibration.samples import Samples
from onenet.errors import RequestError
from onenet.exporters.cases import CHECKERS, check_cases, write_cases
from onenet.models.build import build
from onenet.spec import ModelSpec, TensorSpec
from tests.shared import few

SIZE = (16, 24)
CASES = ("whole", "larger", "smaller")
TARGETS = ("tflite", "onnx", "coreml")
PICTURES = np.random.default_rng(0).integers(0, 256, (2, 3, *SIZE)).astype(np.float32) / np.float32(255)

REPLAY = Path(__file__).parent / "replay"
PROGRAMS = {
    "java": ("javac -Xlint:all -Werror Replay.java OnenetCases.java", "java Replay"),
    "javascript": ("node --check replay.mjs", "node replay.mjs"),
    "cpp": ("g++ -std=c++17 -Wall -Wextra -Werror -O1 replay.cpp -o replay", "./replay"),
    "swift": ("swiftc -O -warnings-as-errors OnenetCases.swift main.swift -o replay-swift", "./replay-swift"),
}
"""Of each language: how the app of ``REPLAY`` is made, and run."""


class Colours(nn.Module):
    """Two classes that depend on the colour and the place."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 2, 1)
        with torch.no_grad():  # as many pixels of each class
            self.last.bias.sub_(self(torch.from_numpy(PICTURES)).mean((0, 2, 3)))

    def forward(self, image):  # type: ignore[no-untyped-def]  # torch's own
        return self.last(self.first(image).relu())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """The cases of a small network, by target and type of inputs and outputs."""
    folder, done = tmp_path_factory.mktemp("cases"), {}
    model = onenet.lower(build(Colours(), input_size=SIZE))
    samples = Samples.of_images("smooth", PICTURES)
    quantized = onenet.calibrate(model, samples)

    def make(target: str, io: str) -> Path:
        if (target, io) not in done:
            artifact = onenet.export(quantized, target=target, io=io, out=folder / io, evaluation=samples)
            done[target, io] = write_cases(artifact.path, samples, folder / io / "cases")
        return done[target, io]

    return make


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Path, Path], list[str]]:
    """What a language's checker says of an app's answers."""
    built: dict[str, Path] = {}

    def check(language: str, cases: Path, answers: Path) -> list[str]:
        make, run = (command.split() for command in PROGRAMS[language])
        if shutil.which(make[0]) is None:
            pytest.skip(f"{make[0]} is not installed")
        if language not in built:
            built[language] = tmp_path_factory.mktemp(language)
            for each in (*CHECKERS.iterdir(), *REPLAY.iterdir()):
                shutil.copy(each, built[language])
            subprocess.run(make, cwd=built[language], check=True, capture_output=True, text=True)
        done = subprocess.run([*run, cases, answers], cwd=built[language], check=True, capture_output=True, text=True)
        return done.stdout.splitlines()

    return check


@pytest.mark.parametrize(
    ("target", "io"), [("tflite", "float"), ("tflite", "int8"), *few([("onnx", "float"), ("coreml", "float")], 2)]
)
@pytest.mark.parametrize("language", PROGRAMS)
def test_what_is_right_passes(made, checker, language: str, target: str, io: str) -> None:  # type: ignore[no-untyped-def]
    cases = made(target, io)
    assert checker(language, cases, cases) == []


def swapped(values: np.ndarray) -> np.ndarray:
    """Blue for red, as an app does that takes BGR for RGB."""
    return values.reshape(-1, 3)[:, ::-1]


FAULTS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray], str]] = {
    "BGR": ("whole.input.bin", swapped, "whole: preprocessing: value"),
    "0 to 255": ("larger.input.bin", lambda values: values * 255, "larger: preprocessing: value"),
    "not a number": ("larger.input.bin", lambda values: values * np.nan, "larger: preprocessing: value"),
    "classes changed": ("whole.output0.bin", lambda values: values.reshape(-1, 2)[:, ::-1], "whole: inference, output 0: "),
    "half an output": ("whole.output0.bin", lambda values: values[: len(values) // 2], "whole: inference, output 0: "),
    "mirrored labels": ("smaller.labels.bin", lambda values: values[::-1], "smaller: postprocessing: "),
    "no labels": ("smaller.labels.bin", lambda values: values[:0], "smaller: postprocessing: 0 labels, "),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("language", PROGRAMS)
def test_what_is_wrong_is_named(made, checker, tmp_path: Path, language: str, fault: str) -> None:  # type: ignore[no-untyped-def]
    cases = made("tflite", "float")
    file, change, expected = FAULTS[fault]
    answers = tmp_path / "answers"
    shutil.copytree(cases, answers)
    values = np.fromfile(cases / file, np.uint8 if "labels" in file else np.float32)
    np.ascontiguousarray(change(values)).tofile(answers / file)
    (line,) = checker(language, cases, answers)
    assert line.startswith(expected), line


@pytest.mark.parametrize("language", PROGRAMS)
def test_nothing_compared_is_no_pass(made, checker, tmp_path: Path, language: str) -> None:  # type: ignore[no-untyped-def]
    cases = made("tflite", "float")
    shutil.copytree(cases, tmp_path / "empty")
    table = tmp_path / "empty" / "cases.txt"
    table.write_text("".join(line + "\n" for line in table.read_text().splitlines() if not line.startswith("case ")))
    (line,) = checker(language, tmp_path / "empty", cases)
    assert line.endswith("nothing was compared")


def test_pictures_are_of_other_shapes_and_filtered(made) -> None:  # type: ignore[no-untyped-def]
    cases = made("tflite", "float")
    pictures = {name: read_image(cases / f"{name}.png") for name in CASES}
    assert {name: each.shape for name, each in pictures.items()} == {
        "whole": (16, 24, 3),
        "larger": (25, 31, 3),
        "smaller": (10, 12, 3),
    }
    larger = pictures["larger"]
    assert (larger == np.fromfile(cases / "larger.rgb.bin", np.uint8).reshape(larger.shape)).all()
    fed = np.fromfile(cases / "larger.input.bin", np.float32).reshape(*SIZE, 3) * 255
    plain = np.asarray(Image.fromarray(larger).resize(SIZE[::-1], Image.Resampling.NEAREST))
    assert abs(fed - plain).max() > 2  # a resize without a filter is found


def test_labels_are_of_the_picture(made) -> None:  # type: ignore[no-untyped-def]
    cases = made("tflite", "float")
    logits = np.fromfile(cases / "larger.output0.bin", np.float32).reshape(*SIZE, 2)
    labels = np.fromfile(cases / "larger.labels.bin", np.uint8).reshape(25, 31)
    rows, columns = ([int((2 * at + 1) * m / (2 * n)) for at in range(n)] for n, m in zip(labels.shape, SIZE, strict=True))
    assert (labels == logits.argmax(-1)[rows][:, columns]).all()
    assert 0.05 < labels.mean() < 0.95


def test_a_network_without_an_image_is_refused(tmp_path: Path) -> None:
    spec = ModelSpec("sums", "other", (TensorSpec("row", "scalar", (1, 4)),), (TensorSpec("sums", "scores", (1, 2)),))
    model = build(lambda: (nn.Linear(4, 2), spec))
    with pytest.raises(RequestError, match=r"--tests .* is for networks of one RGB or grey image; sums takes row 1x4"):
        check_cases(model, tmp_path / "cases")
    assert not (tmp_path / "cases").exists()
