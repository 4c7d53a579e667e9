"""What was measured of the models' artifacts: written by ``python -m bench.front``, read from beside this file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "measured.json"
PAIRS = ("tflite fp32", "tflite int8", "onnx fp32", "onnx int8")
"""Targets and precisions that the tables have columns for."""
HEADS = tuple(f"{pair}, {unit}" for unit in ("MB", "ms") for pair in PAIRS)


def read() -> dict[str, Any]:
    """``machine``, in words, and ``models``: name and width, or ``published`` -> pair -> bytes and milliseconds."""
    content: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return content


def cells(found: dict[str, Any]) -> tuple[str, ...]:
    """A model's cells under ``HEADS``: sizes, then times; a dash where there is none.

    Args:
        found: its pairs, as ``read`` gives them.
    """
    pairs = [found.get(pair, (None, None)) for pair in PAIRS]
    sizes = ["-" if size is None else f"{size / 1e6:.2f}" for size, _ in pairs]
    times = ["-" if time is None else f"{time:.1f}" for _, time in pairs]
    return (*sizes, *times)
