"""A thousand damaged inputs: each ends in one line that says what is wrong, or in a right result.

``fuzz.py`` makes them, always the same ones, and tries them in processes of their own.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from onenet.errors import ToolError
from onenet.runtimes import golden, isolated
from onenet.runtimes.artifact import sidecar_of
from onenet.runtimes.parity import verify
from tests.export import fuzz
from tests.export.conftest import Artifacts, quantized_of

COUNTS = {"image": 300, "mask": 80, "npz": 80, "record": 100, "manifest": 190, "sidecar": 50, "artifact": 200}
GIGABYTES = 2.0
SECONDS = 60
"""For all cases of a kind; they take a tenth of it. What is not done by then hangs."""


def test_there_are_a_thousand() -> None:
    assert sum(COUNTS.values()) == 1000


# --- what is damaged --------------------------------------------------------


def picture(mode: str) -> Image.Image:
    """A picture of any mode whose pixels are all different."""
    width, height = fuzz.SIDE
    rgb = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    if mode in ("F", "I", "I;16"):
        kind = {"F": np.float32, "I": np.int32, "I;16": np.uint16}[mode]
        return Image.fromarray(rgb[..., 0].astype(kind) * kind(200))
    image = Image.fromarray(rgb)
    if mode in ("LA", "RGBA"):
        image.putalpha(Image.fromarray(rgb[..., 1]))
    return image.convert(mode)


IMAGES: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "bmp": (("1", {}), ("P", {}), ("RGB", {}), ("RGBA", {})),
    "gif": (("P", {}), ("P", {"save_all": True, "append_images": [picture("L")]}), ("RGBA", {})),
    "jpg": (
        ("L", {}),
        ("RGB", {"progressive": True}),
        ("RGB", {"exif": b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0"}),
        ("CMYK", {}),
    ),
    "png": (("1", {}), ("L", {}), ("LA", {}), ("P", {"transparency": 0}), ("RGB", {}), ("RGBA", {}), ("I;16", {})),
    "ppm": (("1", {}), ("L", {}), ("RGB", {}), ("I", {})),
    "tiff": (
        ("F", {}),
        ("I;16", {"compression": "tiff_lzw"}),
        ("RGB", {"compression": "jpeg"}),
        ("RGBA", {"compression": "tiff_adobe_deflate"}),
        ("CMYK", {"compression": "packbits"}),
        ("1", {"compression": "group4"}),
        ("LAB", {}),
    ),
    "webp": (("RGB", {}), ("RGBA", {"lossless": True}), ("RGB", {"save_all": True, "append_images": [picture("L")]})),
}
"""Formats that are read, with the modes and options that take different ways through their decoders."""


def make_images(folder: Path) -> None:
    for suffix, variants in IMAGES.items():
        for number, (mode, options) in enumerate(variants):
            picture(mode).save(folder / f"{number}.{suffix}", **options)
    Image.init()
    known = {Image.registered_extensions().get(f".{suffix}") for suffix in IMAGES}
    for kind in sorted(set(Image.SAVE) - known):  # formats that are not read, under a name that is
        try:
            picture("RGB").save(content := io.BytesIO(), kind)
        except (OSError, ValueError, KeyError, DeprecationWarning):  # no such mode, a library not installed, leaving Pillow
            continue
        (folder / f"{kind}.png").write_bytes(content.getvalue())


def make_masks(folder: Path) -> None:
    for mode in ("1", "L", "P", "LA", "RGB"):
        picture(mode).save(folder / f"{mode}.png")


def make_archives(folder: Path) -> None:
    width, height = fuzz.SIDE
    values = np.random.default_rng(0).random((3, 3, height, width), np.float32)
    np.savez(folder / "floats.npz", values)
    np.savez_compressed(folder / "halves.npz", images=values.astype(np.float16).transpose(0, 2, 3, 1), other=values)
    np.savez(folder / "pixels.npz", (values * 255).astype(np.uint8).transpose(0, 2, 3, 1))
    np.savez(folder / "columns.npz", np.asfortranarray(values))


def make_null(path: Path, manifest: dict[str, Any]) -> None:
    """An artifact of the runtime that gives zeros, with a real artifact's manifest."""
    for entry in manifest["golden"]["outputs"]:
        entry["data"] = golden.encode(np.zeros(entry["shape"], entry["dtype"]) + entry.get("zero_point", 0))
    content = {"inputs": manifest["inputs"], "outputs": manifest["outputs"], "onenet": manifest}
    path.write_text(json.dumps(content))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, artifacts: Artifacts) -> Path:
    """``bases/KIND`` with the files to damage."""
    root = tmp_path_factory.mktemp("fuzz")
    places = {kind: root / "bases" / kind for kind in COUNTS}
    for place in places.values():
        place.mkdir(parents=True)
    make_images(places["image"])
    make_masks(places["mask"])
    make_archives(places["npz"])
    quantized_of("ed").record.save(places["record"] / "record.json")
    for target in ("tflite", "onnx", "coreml"):
        for precision in ("fp32", "int8"):
            path = artifacts("ed", target, precision).path
            copy = shutil.copytree if path.is_dir() else shutil.copyfile
            copy(path, places["artifact"] / path.name)
    for precision in ("fp32", "int8"):
        path = artifacts("ed", "tflite", precision).path
        make_null(places["manifest"] / f"{precision}.null", json.loads(sidecar_of(path).read_bytes()))
        shutil.copyfile(path, places["sidecar"] / path.name)
        shutil.copyfile(sidecar_of(path), sidecar_of(places["sidecar"] / path.name))
    return root


# --- what becomes of it -----------------------------------------------------


def run(kind: str, folder: Path, count: int) -> list[dict[str, Any]]:
    """The outcome of each case; ``DIED`` where a case ended or kept busy the process that tried it."""
    log, done = folder / f"{kind}.jsonl", list[dict[str, Any]]()
    while len(done) < count:
        command = [sys.executable, "-m", "tests.export.fuzz", kind, str(folder), str(len(done)), str(count - len(done))]
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(command, cwd=Path(__file__).parents[2], timeout=SECONDS, check=False)
        done = [json.loads(line) for line in log.read_text().splitlines()]
        if len(done) < count:
            done.append({"case": len(done), "outcome": "DIED", "peak": 0})
            log.write_text("".join(json.dumps(each) + "\n" for each in done))
    return done


@pytest.mark.parametrize("kind", COUNTS)
def test_damage_ends_in_one_line_or_in_a_right_result(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = run(kind, folder, COUNTS[kind])
    for each in outcomes:
        if kind == "artifact" and each["outcome"] == "DIED":  # which is what verify has a process of its own for
            monkeypatch.setattr(isolated, "SECONDS", 10.0)
            base = fuzz.bases(kind, folder)[each["case"] % 6]
            with pytest.raises(ToolError, match=rf"case{base.suffix} (ended its runtime with|kept its runtime busy)"):
                again(base, folder, each["case"])
            each["outcome"] = "ToolError"
    wrong = [each for each in outcomes if each["outcome"].startswith(("WRONG", "DIED"))]
    assert not wrong, "\n".join(f"case {each['case']}: {each['outcome']}" for each in wrong)
    kinds = {each["outcome"].split(":")[0] for each in outcomes}
    assert "right" in kinds  # the damage is not such that nothing comes through
    assert len(kinds) > 1
    assert max(each["peak"] for each in outcomes) < GIGABYTES * 1e9


def again(base: Path, folder: Path, case: int) -> None:
    """``verify`` of an artifact's case."""
    scratch = folder / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    rng = np.random.default_rng([fuzz.SEED, list(fuzz.KINDS).index("artifact"), case])
    verify(fuzz.write(base, scratch, rng, fuzz.artifact_damaged))
