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
from tests.shared import thorough

pytestmark = thorough

EXPORT = """
from pathlib import Path
import sys
import torch
from torch import nn
import onenet
from onenet.base.quiet import quiet

class Everything(nn.Module):
    # Wide and large enough that torch shares its convolutions out over threads: without care its sums then differ.
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 24, 3, stride=2, padding=1), nn.BatchNorm2d(24), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(24, 40, 3, padding=1), nn.ReLU())
        self.deep = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(160, 64, 1), nn.SiLU(), nn.PixelShuffle(2))
        self.each = nn.Conv2d(40, 40, 3, padding=1, groups=40)
        self.up = nn.ConvTranspose2d(56, 8, 2, stride=2)
        self.mask, self.score = nn.Conv2d(8, 3, 1), nn.Linear(40, 5)

    def forward(self, image):
        x = self.body(self.stem(image))
        joined = torch.cat([self.deep(x), self.each(x) + x], 1)
        return self.mask(self.up(joined)), self.score(x.mean((2, 3))).softmax(1)

with quiet():
    images = onenet.load_samples(Path(sys.argv[1]), 64, 96, limit=4)
    lowered = onenet.lower(onenet.build(Everything(), input_size=(64, 96)))
    quantized = onenet.calibrate(lowered, images)
    for target in ("tflite", "onnx", "coreml"):
        for precision in ("fp32", "fp16", "w8", "int8"):
            source, verify = quantized if precision == "int8" else lowered, precision in ("fp32", "int8")
            onenet.export(source, target=target, precision=precision, evaluation=images, verify=verify)
"""
FILES = 3 * 4
THREADS = ("1", "2", "4")
Runs = tuple[Path, ...]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """The output folders of three processes that have nothing but the input in common."""
    folders = tuple(tmp_path_factory.mktemp(name) for name in ("first", "another", "third"))
    processes = []
    for threads, folder in zip(THREADS, folders, strict=True):
        (folder / "temporary").mkdir()
        different = {"PYTHONHASHSEED": threads, "TMPDIR": str(folder / "temporary"), "OMP_NUM_THREADS": threads}
        command = [sys.executable, "-c", EXPORT, str(default_calibration())]
        processes.append(subprocess.Popen(command, cwd=folder, env={**os.environ, **different}))
    assert [process.wait() for process in processes] == [0] * len(THREADS)
    return tuple(folder / "build" for folder in folders)


def test_all_processes_write_the_same_bytes(runs: Runs) -> None:
    first, *others = ({path.name: sha256_of(path) for path in folder.iterdir()} for folder in runs)
    assert len(first) == 2 * FILES  # an artifact and the manifest beside it
    for other in others:
        assert first == other


def test_all_processes_embed_the_same_manifest(runs: Runs) -> None:
    for path in sorted(runs[0].iterdir()):
        if path.suffix != ".json":
            for folder in runs[1:]:
                assert manifest_of(path) == manifest_of(folder / path.name)


def test_nothing_of_the_machine_is_inside(runs: Runs) -> None:
    secrets = {str(runs[0].parent), str(Path(__file__).parents[2]), sys.prefix, platform.node(), str(Path.home())}
    files = [path for path in runs[0].rglob("*") if path.is_file()]
    assert len(files) > FILES
    for path in files:
        content = path.read_bytes()
        assert not [each for each in secrets if len(each) > 4 and each.encode() in content], path.name
