"""int8 in onnxruntime on an x86 CPU without VNNI: a real one, emulated by qemu, whose 16-bit sums saturate."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import onenet
from onenet.base.quiet import quiet
from onenet.calibration.decide import decide
from onenet.calibration.observe import observe
from onenet.calibration.recipe import INT8, X86_SAFE_LIMIT, Recipe, x86_safe
from onenet.calibration.samples import default_calibration, default_evaluation, load_samples
from onenet.models.build import build

SIZE = (64, 64)
EMULATOR = "qemu-x86_64"
HASWELL = "Haswell-noTSX"
"""AVX2 without VNNI."""
VERIFY = """
import json, sys
from pathlib import Path
import onenet
from onenet.runtimes.backends import onnxruntime
from onenet.runtimes import parity
onnxruntime.has_vnni = lambda: False  # /proc/cpuinfo shows the host's CPU, not the emulated one
for path in map(Path, sys.argv[1:]):
    found = onenet.verify(path, threads=1)
    native = parity.check_values(parity.open_artifact(path, 1))
    print(json.dumps([found.as_dict(), [check.passed for check in native]]))
"""
"""One program for all files: most of its time goes by until an emulated Python has imported onnxruntime."""
Verdicts = dict[str, tuple[dict[str, object], list[bool]]]
needs_emulator = pytest.mark.skipif(shutil.which(EMULATOR) is None, reason=f"needs {EMULATOR} (Debian: qemu-user)")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The shipped e4 for small images, as usual and for such CPUs."""

    def export(recipe: Recipe) -> Path:
        return onenet.export(decide(calibration, recipe), target="onnx", out=folder, evaluation=evaluation).path

    folder = tmp_path_factory.mktemp("x86")
    with quiet():
        model = onenet.lower(build("onenet-e4", input_size=SIZE))
        calibration = observe(model, load_samples(default_calibration(), *SIZE, limit=8))
        evaluation = load_samples(default_evaluation(), *SIZE, limit=2)
        return {"usual": export(INT8), "safe": export(x86_safe(INT8))}


@pytest.fixture(scope="module")
def emulated(files: dict[str, Path]) -> Verdicts:
    """Of each file what ``verify`` finds on the emulated CPU, and whether its own kernels pass there."""
    command = [EMULATOR, "-cpu", HASWELL, sys.executable, "-c", VERIFY, *map(str, files.values())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(zip(files, map(json.loads, done.stdout.splitlines()[-len(files) :]), strict=True))


def weights(path: Path) -> list[np.ndarray]:
    constants = {each.name: numpy_helper.to_array(each) for each in onnx.load(path).graph.initializer}
    return [each for each in constants.values() if each.dtype == np.int8 and each.ndim == 4]


def test_safe_weights_leave_room_for_a_pair_of_products(files: dict[str, Path]) -> None:
    usual, safe = (max(np.abs(each.astype(int)).max() for each in weights(files[name])) for name in ("usual", "safe"))
    assert usual == 127
    assert safe == X86_SAFE_LIMIT
    assert 2 * 255 * X86_SAFE_LIMIT <= 2**15 - 1
    assert files["safe"].name == "onenet-e4_int8_x86-safe.onnx"


@needs_emulator
def test_saturation_is_told_from_a_wrong_artifact(emulated: Verdicts) -> None:
    found, native = emulated["usual"]
    assert native == [False]  # its own kernels are beyond the tolerance there
    assert found["passed"] is True
    last = found["checks"][-1]  # type: ignore[index]  # a list of checks
    assert last["passed"] is None
    assert "has no VNNI and its int8 kernels saturate; the artifact is right" in last["detail"]


@needs_emulator
def test_safe_weights_do_not_saturate(emulated: Verdicts) -> None:
    found, native = emulated["safe"]
    assert native == [True]
    assert found["passed"] is True
