"""``examples/pi`` as a program: what it draws of folders and cameras, and what it says where that cannot be done."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onenet.spec import numbered_classes
from tests.house.product import REPOSITORY
from tests.null_artifact import write_null

PROGRAM = REPOSITORY / "examples/pi/segment.py"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A segmentation that is class 0 everywhere: nothing is drawn over a picture."""
    return write_null(tmp_path / "net.null", task="segmentation", classes=[asdict(each) for each in numbered_classes(2)])


def run(*words: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, PROGRAM, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


def jpeg(colour: str, size: tuple[int, int] = (40, 30)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, "JPEG")
    return stream.getvalue()


def test_a_folder(model: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (20, 10), "red").save(photos / "a.png")
    Image.new("L", (8, 8)).save(photos / "b.jpg")
    Image.new("RGB", (8, 8)).save(photos / "old.overlay.png")
    (photos / "notes.txt").write_text("no picture")
    done = run(model, "photos", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(each.name for each in (tmp_path / "seen").iterdir()) == ["a.overlay.png", "b.overlay.png"]
    with Image.open(tmp_path / "seen/a.overlay.png") as picture:
        assert np.asarray(picture).tolist() == [[[255, 0, 0]] * 20] * 10
    first, second, last = done.stdout.splitlines()
    assert first.startswith("a.png  20x10  ") and first.endswith(" ms  class 0 100.0%")
    assert second.startswith("b.jpg  8x8  ")
    assert last.startswith("2 pictures, ") and "null" in last


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "error: give pictures, or --camera"),
        (["a.png", "--camera"], "error: give pictures, or --camera"),
        (["empty"], "error: empty: there is no picture"),
        (["nothing.png"], "error: cannot read the image nothing.png: No such file or directory"),
        (["a.png", "a.jpg"], "error: a.png and a.jpg would both be a.overlay.png"),
        (["--camera", "no-such-camera"], "error: no-such-camera: No such file or directory; README.md says what each camera"),
        (["--camera", "sh -c 'echo no cameras available >&2; exit 255'"], "error: sh ended with 255: no cameras available"),
    ],
)
def test_what_cannot_be_done_is_one_line(model: Path, tmp_path: Path, words: list[str], said: str) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("a.png", "a.jpg"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    done = run(model, *words, folder=tmp_path)
    assert done.returncode != 0 and said in done.stderr.splitlines()[-1], done.stderr
    assert "Traceback" not in done.stderr


def test_another_task_is_refused(tmp_path: Path) -> None:
    path = write_null(tmp_path / "net.null", task="classification", classes=[asdict(each) for each in numbered_classes(2)])
    done = run(path, "a.png", folder=tmp_path)
    assert done.returncode != 0 and done.stderr.startswith("error: ") and "Traceback" not in done.stderr


def test_of_a_camera_the_newest_picture_stays(model: Path, tmp_path: Path) -> None:
    colours = ["red", "lime", "blue"] * 20
    broken = jpeg("white")[:300]
    (tmp_path / "frames").write_bytes(b"".join(map(jpeg, colours)) + broken)
    done = run(model, "--camera", "cat frames", "--out", "live", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "live/camera.jpg") as picture:
        assert picture.size == (40, 30)
    assert sorted(each.name for each in (tmp_path / "live").iterdir()) == ["camera.jpg", "live.html"]
    assert 1 <= int(done.stdout.splitlines()[-1].split()[0]) <= len(colours)


def test_a_slow_camera_loses_no_picture(model: Path, tmp_path: Path) -> None:
    for place, colour in enumerate(("red", "lime", "blue")):
        (tmp_path / f"{place}.jpg").write_bytes(jpeg(colour))
    command = "sh -c 'for i in 0 1 2; do cat $i.jpg; sleep 1; done'"
    done = run(model, "--camera", command, "--out", "live", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("3 pictures, ")
    with Image.open(tmp_path / "live/camera.jpg") as picture:
        assert np.asarray(picture)[15, 20, 2] > 200


def test_the_camera_of_raspberry_pi_os_is_asked_for_jpegs() -> None:
    text = PROGRAM.read_text()
    (line,) = (line for line in text.splitlines() if line.startswith("CAMERA = "))
    assert "rpicam-vid" in line and "--codec mjpeg" in line and line.rstrip('"').endswith("--output -")
