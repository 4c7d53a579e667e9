"""The same input gives the same bytes: in another process, with other hash seeds, in another folder, with other threads."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from onenet.base.files import sha256_of
from onenet.calibration.samples import default_calibration
from onenet.runtimes.artifact import manifest_of

EXPORT = """
from pathlib import Path
import sys
import onenet
from onenet.base.quiet import quiet

with quiet():
    model = onenet.lower(onenet.build("onenet-ed4", random_weights=True, width=4, spatial=False, input_size=(32, 48)))
    images = onenet.load_samples(Path(sys.argv[1]), 32, 48, limit=4)
    quantized = onenet.calibrate(model, images)
    for target in ("tflite", "onnx", "coreml"):
        for source, precision in ((model, "fp32"), (model, "fp16"), (quantized, "int8")):
            onenet.export(source, target=target, precision=precision, evaluation=images)
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The output folders of two processes that have nothing but the input in common."""
    folders = tuple(tmp_path_factory.mktemp(name) for name in ("first", "another"))
    processes = []
    for seed, folder in zip(("1", "2"), folders, strict=True):
        (folder / "temporary").mkdir()
        different = {"PYTHONHASHSEED": seed, "TMPDIR": str(folder / "temporary"), "OMP_NUM_THREADS": seed}
        command = [sys.executable, "-c", EXPORT, str(default_calibration())]
        processes.append(subprocess.Popen(command, cwd=folder, env={**os.environ, **different}))
    assert [process.wait() for process in processes] == [0, 0]
    return folders[0] / "build", folders[1] / "build"


def test_two_processes_write_the_same_bytes(runs: tuple[Path, Path]) -> None:
    first, second = ({path.name: sha256_of(path) for path in folder.iterdir()} for folder in runs)
    assert len(first) == 2 * 9  # an artifact and the manifest beside it
    assert first == second


def test_two_processes_embed_the_same_manifest(runs: tuple[Path, Path]) -> None:
    for path in sorted(runs[0].iterdir()):
        if path.suffix != ".json":
            assert manifest_of(path) == manifest_of(runs[1] / path.name)


def test_nothing_of_the_machine_is_inside(runs: tuple[Path, Path]) -> None:
    secrets = {str(runs[0].parent), str(Path(__file__).parents[2]), sys.prefix, platform.node(), str(Path.home())}
    files = [path for path in runs[0].rglob("*") if path.is_file()]
    assert len(files) > 9
    for path in files:
        content = path.read_bytes()
        assert not [each for each in secrets if len(each) > 4 and each.encode() in content], path.name
