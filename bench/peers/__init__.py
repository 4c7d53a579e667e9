"""One file per toolchain. Each gives

* ``REQUIREMENTS``: what its environment holds; empty where it is the environment of the developer;
* ``ROWS``: what is measured;
* ``convert(network, row, out)``: make the row's files in ``out`` from the network's folder (see ``bench/networks.py``), in a
  process of its own; returns what a reader should know of it. What it raises becomes the row's reason;
* ``load(out, row, threads)``: the row as a ``Loaded``.

These files are read by the harness, which has none of the toolchains: imports go inside the functions.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

NAMES = ("onenet", "gemm", "torch", "litert", "onnxruntime", "openvino", "executorch", "ncnn", "mnn", "onnx2tf")
"""In the order of conversion: some rows run files that ``onenet`` made."""

TORCH = "torch==2.13.0"


@dataclass(frozen=True)
class Row:
    """One line of the tables."""

    key: str
    """Unique within its peer; a file name."""
    label: str
    precision: str
    """``fp32`` or ``int8``: rows are compared with ours of the same."""
    ours: bool = False
    uses: str = ""
    """``PEER/KEY`` of the row whose files this one runs in another way."""
    fallback: bool = False
    """Measured only where the row that it ``uses`` does not load."""


def unchanged(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Loaded:
    """A row ready to run. Only ``run`` is timed."""

    run: Callable[[Any], Any]
    """One inference, from what ``feed`` returns."""
    feed: Callable[[Any], Any] = unchanged
    """From an image, (1, 3, H, W) float32 in [0, 1], to the layout and type that the file takes."""
    finish: Callable[[Any], Any] = unchanged
    """From what ``run`` returns to logits, (1, classes, H, W)."""
    operations: int = 0
    """Multiplications and additions of one run, where it is not the network."""


def peer(name: str) -> ModuleType:
    return importlib.import_module(f"bench.peers.{name}")
