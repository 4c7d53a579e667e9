"""``examples/pi`` on an emulated Raspberry Pi with the ``runtime`` extra alone: what it draws is what Python draws here."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import onenet
from onenet.calibration.samples import default_evaluation
from onenet.errors import ToolError
from tests.device import lab
from tests.device.pi_app import PiApp, tree
from tests.device.shipped import NAMES, write_shipped
from tests.shared import thorough


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped model's artifacts."""
    if reason := lab.reason_against():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("shipped")
    write_shipped(folder)
    return folder / "models"


@pytest.fixture(scope="module")
def pi(models: Path, tmp_path_factory: pytest.TempPathFactory) -> PiApp:
    try:
        tree()
    except ToolError as error:
        pytest.skip(str(error))
    made = PiApp(tmp_path_factory.mktemp("pi") / "home")
    for each in models.iterdir():
        shutil.copy(each, made.home)
    return made


def drawn_here(model: Path, picture: Path | np.ndarray) -> np.ndarray:
    pixels = onenet.read_image(picture) if isinstance(picture, Path) else picture
    mask = onenet.open_model(model).predict(pixels)
    overlay: np.ndarray = mask.overlay(pixels)  # type: ignore[attr-defined]
    return overlay


def equal(one: np.ndarray, other: np.ndarray) -> float:
    """Share of equal pixels."""
    return float((one == other).all(-1).mean()) if one.shape == other.shape else 0.0


def test_nothing_but_the_runtime_extra_is_there(pi: PiApp) -> None:
    done = pi.run("-c", "import onenet, ai_edge_litert, onnxruntime, platform; print(platform.machine()); import torch")
    assert done.stdout == "aarch64\n"
    assert "No module named 'torch'" in done.stderr


def test_a_folder(pi: PiApp, models: Path) -> None:
    photos = pi.home / "photos"
    photos.mkdir()
    first, second, *_ = sorted((default_evaluation() / "images").iterdir())
    shutil.copy(first, photos)
    turned = Image.Exif()
    turned[0x0112] = 6
    with Image.open(second) as image:
        image.convert("RGB").resize((300, 200)).save(photos / "turned.jpg", exif=turned, quality=95)
    (photos / "broken.png").write_text("no picture")
    done = pi.run("segment.py", NAMES[0], "photos", "--out", "seen")
    assert "error: cannot read the image photos/broken.png: not recognised as an image" in done.stderr, done.stderr
    for photo in (photos / first.name, photos / "turned.jpg"):
        with Image.open(pi.home / f"seen/{photo.stem}.overlay.png") as found:
            assert equal(np.asarray(found), drawn_here(models / NAMES[0], photo)) >= 0.999
    assert "turned.jpg  200x300  " in done.stdout and "nucleus" in done.stdout


@thorough
def test_a_camera(pi: PiApp, models: Path) -> None:
    """A program that sends pictures; the last one stays."""
    frames = []
    for path in sorted((default_evaluation() / "images").iterdir())[:3]:
        stream = io.BytesIO()
        with Image.open(path) as image:
            image.convert("RGB").save(stream, "JPEG", quality=95)
        frames.append(stream.getvalue())
    (pi.home / "frames.mjpeg").write_bytes(b"".join(frames))
    done = pi.run("segment.py", NAMES[1], "--camera", "cat frames.mjpeg", "--out", "live")
    assert done.returncode == 0, done.stderr
    assert "onnxruntime" in done.stdout.splitlines()[-1]
    assert sorted(each.name for each in (pi.home / "live").iterdir()) == ["camera.jpg", "live.html"]
    with Image.open(io.BytesIO(frames[-1])) as last, Image.open(pi.home / "live/camera.jpg") as found:
        expected = drawn_here(models / NAMES[1], np.asarray(last.convert("RGB")))
        assert abs(np.asarray(found).astype(int) - expected).mean() < 4  # what JPEG makes of it
