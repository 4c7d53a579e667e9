"""The shipped model's int8 files with their golden cases, exported once for all tests of apps."""

from __future__ import annotations

import tempfile
from pathlib import Path

import onenet
from tests.shared import made_once

NAMES = ("onenet-ed4_int8.tflite", "onenet-ed4_int8.onnx")


def exported() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        options = onenet.ExportOptions(target=("tflite", "onnx"), int8=True, out=folder / "models", tests=folder / "cases")
        onenet.export_all(options)
        return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def write_shipped(folder: Path) -> None:
    """``models`` and ``cases`` into a folder."""
    for name, content in made_once("shipped-int8", exported).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
