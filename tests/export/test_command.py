"""The command as a shell runs it: what it prints where, and what a full disk, a failed check and Ctrl-C leave behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onenet.base.files import sha256_of
from onenet.targets import suffixes
from tests.conftest import HEED_CTRL_C

NET = """
from torch import nn

def make():
    first, second = nn.Conv2d(3, 48, 3, padding=1), nn.Conv2d(48, 48, 3, padding=1)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Conv2d(48, 2, 1))
"""
COMMAND = [sys.executable, "-c", HEED_CTRL_C + "from onenet.cli.app import export_main; export_main()"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET)
    return tmp_path


def export(folder: Path, *arguments: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run onenet-export in ``folder`` on the small net."""
    given = ["--model", "net.py:make", "--input-size", "16", "24", "--out", "out", *arguments]
    return subprocess.run([*before, *COMMAND, *given], capture_output=True, text=True, timeout=300, check=False, cwd=folder)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_json_is_one_document_and_nothing_else(folder: Path) -> None:
    done = export(folder, "--json", "--int8", "-p", "fp32")
    assert (done.returncode, done.stderr) == (0, "")
    first, second = json.loads(done.stdout)
    assert (first["precision"], second["precision"]) == ("fp32", "int8")
    for document in (first, second):
        path = folder / document["path"]
        assert path.stat().st_size == document["bytes"]
        assert document["verification"]["passed"] is True
        assert document["quality"]["images"] == 8
        assert json.loads((folder / f"{document['path']}.json").read_text())["artifact"]["sha256"] == sha256_of(path)
    assert names(folder / "out") == ["make_fp32.tflite", "make_fp32.tflite.json", "make_int8.tflite", "make_int8.tflite.json"]


def test_an_error_with_json_leaves_stdout_empty(folder: Path) -> None:
    done = export(folder, "--json", "--input-size", "0", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: make does not run on (1, 3, 0, 0)")
    assert done.stderr.count("\n") == 1


def test_the_summary_is_on_stdout_and_the_steps_are_on_stderr(folder: Path) -> None:
    done = export(folder, "--out", "out [x]")
    assert done.returncode == 0
    assert "out [x]/make_fp32.tflite" in done.stdout
    assert "converting to tflite fp32 and checking it" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("target", suffixes())
def test_a_disk_that_fills_up_during_an_export(folder: Path, target: str) -> None:
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("a small disk needs `unshare -rm`, which this machine lacks or does not permit")
    (folder / "out").mkdir()
    script = 'mount -t tmpfs -o size=48k none out && "$@"; code=$?; ls -A out; exit $code'
    done = export(folder, "--target", target, "--json", before=(unshare, "-rm", "sh", "-c", script, "sh"))
    if "mount" in done.stderr:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "error: the disk under out is full; nothing was written there\n"


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_during_a_conversion_leaves_the_old_artifact(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "make_fp32.onnx").write_text("old")
    given = ["--model", "net.py:make", "--input-size", "16", "24", "--out", "out", "--target", "onnx"]
    process = subprocess.Popen(
        [*COMMAND, *given],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    while not process.stderr.readline().startswith("lowering it exactly"):  # printed when it is done
        assert process.poll() is None
    while process.poll() is None and len(names(folder / "out")) == 1:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 130, stderr
    assert stdout == ""
    assert stderr.endswith("interrupted: nothing half-written was left behind\n")
    assert "Traceback" not in stderr
    assert names(folder / "out") == ["make_fp32.onnx"]
    assert (folder / "out" / "make_fp32.onnx").read_text() == "old"


LOSES = """
import torch
from torch import nn

class Loses(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.small, self.large = nn.Conv2d(3, 8, 3), nn.Conv2d(3, 8, 3)

    def forward(self, image):  # what counts is small beside other channels of its tensor
        wide = torch.cat([torch.sigmoid(self.small(image)), self.large(image) * 3000], 1)
        return nn.functional.max_pool2d(wide, 3, 3)[:, :8]
"""


def test_int8_that_keeps_little_is_written_with_one_warning_for_all_targets(folder: Path) -> None:
    (folder / "net.py").write_text(LOSES)
    done = export(folder, "--model", "net.py:Loses", "--int8", "--target", "onnx", "--target", "coreml")
    assert done.returncode == 0
    assert names(folder / "out") == [f"Loses_int8.{end}" for end in ("mlpackage", "mlpackage.json", "onnx", "onnx.json")]
    text = " ".join(done.stderr.split())
    assert text.count("int8 of Loses keeps ") == 1
    assert "Keep layers in float with --min-sqnr 20 or --max-drop 1, or take -p w8" in text


def test_without_the_check_a_file_is_measured_where_images_are_given(folder: Path) -> None:
    (folder / "pictures").mkdir()
    for place in range(2):
        Image.fromarray(np.random.default_rng(place).integers(0, 255, (16, 24, 3), np.uint8)).save(
            folder / "pictures" / f"{place}.png"
        )
    for given, images in (((), None), (("--evaluation", "pictures"), 2)):
        (document,) = json.loads(export(folder, "--no-verify", "--json", *given).stdout)
        assert document["verification"] is None
        assert (document["quality"] and document["quality"]["images"]) == images
        assert json.loads((folder / f"{document['path']}.json").read_text())["checks"] == "not verified (--no-verify)"
