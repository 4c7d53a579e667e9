"""The Android demo's core on this machine's JVM: its own tests, with golden cases of models that Python exported."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import onenet
from onenet.calibration.samples import Samples
from onenet.exporters.cases import write_cases
from onenet.models.build import build
from tests.house.product import REPOSITORY

CORE = REPOSITORY / "android_demo/core/src"
JARS = ("junit4.jar", "hamcrest.jar")
FOLDERS = (Path("/usr/share/java"), REPOSITORY / "build/android/root/usr/share/java")
SIZE = (24, 16)
PICTURES = np.random.default_rng(1).integers(0, 256, (2, 3, *SIZE)).astype(np.float32) / np.float32(255)


class Blur(nn.Module):
    """Three classes by colour and place."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 1)

    def forward(self, image):  # type: ignore[no-untyped-def]  # torch's own
        return self.last(self.first(image).relu())


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Class path of the core, its tests and JUnit."""
    if shutil.which("javac") is None:
        pytest.skip("javac is not installed: apt install default-jdk-headless")
    jars = next((each for each in FOLDERS if all((each / jar).is_file() for jar in JARS)), None)
    if jars is None:
        pytest.skip("JUnit is not installed: apt install junit4, or make android")
    out, found = tmp_path_factory.mktemp("classes"), ":".join(str(jars / jar) for jar in JARS)
    for kinds, before in ((["main"], ""), (["testFixtures", "test"], f"{found}:{out}")):
        sources = [str(each) for kind in kinds for each in sorted((CORE / kind).rglob("*.java"))]
        subprocess.run(["javac", "--release", "8", "-Xlint:-options", "-cp", before, "-d", str(out), *sources], check=True)
    return f"{found}:{out}"


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cases of one network as TFLite in float and int8, and as ONNX, in folders of their own; the files lie beside them."""
    folder = tmp_path_factory.mktemp("cases")
    samples = Samples.of_images("pictures", PICTURES)
    quantized = onenet.calibrate(onenet.lower(build(Blur(), input_size=SIZE)), samples)
    for target, io in (("tflite", "float"), ("tflite", "int8"), ("onnx", "float")):
        artifact = onenet.export(quantized, target=target, io=io, out=folder / "models", evaluation=samples)
        write_cases(artifact.path, samples, folder / "tests")
    return folder


def junit(path: str, cases: Path | None, *names: str) -> str:
    """What JUnit says of test classes."""
    places = [] if cases is None else [f"-Donenet.cases={cases / 'tests'}", f"-Donenet.models={cases / 'models'}"]
    command = ["java", *places, "-cp", path, "org.junit.runner.JUnitCore", *names]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def test_the_core_passes_its_own_tests(path: str) -> None:
    files = sorted((CORE / "test/java").rglob("*Test.java"))
    names = [f"onenet.core.{each.stem}" for each in files]
    said = junit(path, None, *names)
    count = re.search(r"^OK \((\d+) tests\)", said, re.MULTILINE)
    assert count is not None, said[-3000:]
    assert int(count[1]) >= 30


def test_the_core_makes_of_pictures_what_python_makes_of_them(path: str, cases: Path) -> None:
    said = junit(path, cases, "onenet.core.CasesTest")
    assert "OK (2 tests)" in said, said[-3000:]


@pytest.mark.parametrize(
    ("file", "said"), [("larger.input.bin", "inputsArePythons"), ("smaller.labels.bin", "labelsOfAnOutputArePythons")]
)
def test_it_notices_what_is_wrong(path: str, cases: Path, tmp_path: Path, file: str, said: str) -> None:
    shutil.copytree(cases, tmp_path / "wrong")
    for each in (tmp_path / "wrong/tests").glob(f"*.onnx/{file}"):
        values = bytearray(each.read_bytes())
        values[7] ^= 1  # of an input, the exponent of its second value
        each.write_bytes(values)
    found = junit(path, tmp_path / "wrong", "onenet.core.CasesTest")
    assert "Failures: 1" in found and said in found
