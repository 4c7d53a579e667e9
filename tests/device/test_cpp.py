"""The C++ that an app can take, on the golden cases that ``export --tests`` writes: on this machine, and as arm64 in qemu."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from onenet.base.quiet import quiet
from onenet.calibration.samples import Samples
from onenet.errors import OneNetError
from onenet.exporters.cases import CHECKERS, write_cases
from onenet.runtimes.artifact import manifest_of
from onenet.runtimes.devices import native
from onenet.runtimes.devices.native import build
from onenet.spec import TensorSpec
from tests.conftest import smooth_images
from tests.device import lab, tiny

ARTIFACTS = [("tflite", "fp32", "float"), ("tflite", "int8", "float"), ("tflite", "int8", "int8"), ("onnx", "int8", "float")]
WHEELS = {
    "tflite": ("litert", "ai_edge_litert", "libLiteRt.so"),
    "onnx": ("onnxruntime", "onnxruntime/capi", "libonnxruntime.so*"),
}
"""Target -> the runner's name of its runtime, and where that lies in the installed packages."""
RIGHT = "3 cases are right\n"


@pytest.fixture(scope="module")
def include(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The compiler's options for headers."""
    try:
        header = build.include(tmp_path_factory.mktemp("include"))
    except OneNetError as error:
        pytest.skip(str(error))
    return [f"-I{CHECKERS}", f"-isystem{header}"]


def compiled(compiler: str, include: list[str], out: Path) -> Path:
    flags = [*build.FLAGS, *include, str(build.SOURCE / "cases.cpp"), "-o", str(out), "-ldl"]
    done = subprocess.run([compiler, *flags], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:2000]
    return out


def words(spec: TensorSpec) -> str:
    """A tensor as the program takes it."""
    n, c, h, w = spec.canonical().shape
    return " ".join(map(str, [spec.layout, spec.dtype, spec.role, n, c, h, w, spec.scale or 0, spec.zero_point or 0]))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str, str], tuple[Path, Path]]:
    """A small network's artifact, and the folder of its cases."""
    folder = tmp_path_factory.mktemp("cases")
    samples = Samples.of_images("smooth", smooth_images(4, 3, tiny.SIDE, tiny.SIDE))

    def make(target: str, precision: str, io: str) -> tuple[Path, Path]:
        with quiet():
            path = tiny.artifact(target, precision, io)
            return path, write_cases(path, samples, folder)

    return make


@pytest.fixture(scope="module")
def here(include: list[str], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[int, str]]:
    """Runs the program on this machine's processor: its exit code, and what it printed."""
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    program = compiled("g++", include, tmp_path_factory.mktemp("here") / "cases")

    def run(artifact: Path, cases: Path, change: Callable[[str], str] = str) -> tuple[int, str]:
        manifest = manifest_of(artifact)
        runtime, package, file = WHEELS[manifest.target]
        (library,) = folder_of(package).glob(file)
        ends = [change(words(manifest.inputs[0])), words(manifest.outputs[0])]
        command = [program, runtime, library, artifact, cases, *ends]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + "".join(line for line in done.stderr.splitlines(True) if "cases: " in line)

    return run


def folder_of(package: str) -> Path:
    """The folder of an installed package."""
    import importlib.util

    top, _, inside = package.partition("/")
    found = importlib.util.find_spec(top)
    assert found is not None and found.origin is not None
    return Path(found.origin).parent / inside


@pytest.mark.parametrize(("target", "precision", "io"), ARTIFACTS)
def test_every_step_is_pythons_here(made, here, target: str, precision: str, io: str) -> None:  # type: ignore[no-untyped-def]
    assert here(*made(target, precision, io)) == (0, RIGHT)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda text: text.replace("NHWC", "NCHW"), "whole: preprocessing: value "),
        (lambda text: text.replace(" 3 32 32", " 1 32 32"), "whole: preprocessing: 1024 values, 3072 asked"),
        (lambda text: text[:12], 'cases: "NHWC float32" is no tensor'),
    ],
    ids=["another order", "grey", "half a description"],
)
def test_what_is_wrong_is_named(made, here, change: Callable[[str], str], expected: str) -> None:  # type: ignore[no-untyped-def]
    code, said = here(*made("tflite", "fp32", "float"), change)
    assert code and said.startswith(expected), said


@pytest.mark.parametrize(("target", "precision", "io"), [ARTIFACTS[2], ARTIFACTS[3]])
def test_every_step_is_pythons_on_arm64(  # type: ignore[no-untyped-def]
    made, include: list[str], tmp_path: Path, target: str, precision: str, io: str
) -> None:
    """With the libraries that a phone gets."""
    if reason := lab.reason_against():
        pytest.skip(reason)
    try:
        folder = lab.made_once([build.recipe()], lambda made: build.build(made / "native")) / "native"
        (compiler,) = build.compiler()
    except (OneNetError, ValueError) as error:
        pytest.skip(f"no compiler and libraries for arm64: {error}")
    program = compiled(compiler, include, tmp_path / "cases")
    artifact, cases = made(target, precision, io)
    manifest = manifest_of(artifact)
    loader = [str(lab.qemu()), str(folder / native.LOADER), "--library-path", str(folder)]
    library = folder / {"tflite": "libLiteRt.so", "onnx": "libonnxruntime.so"}[target]
    ends = [words(manifest.inputs[0]), words(manifest.outputs[0])]
    command = [*loader, program, WHEELS[target][0], library, artifact, cases, *ends]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"QEMU_CPU": "cortex-a76", "TMPDIR": str(tmp_path)}
    )
    assert (done.returncode, done.stdout) == (0, RIGHT), done.stderr[-2000:]
