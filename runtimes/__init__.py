"""Runtimes that open artifacts: one file per runtime, found by the artifact's suffix and imported on first use."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from onenet.errors import RequestError

if TYPE_CHECKING:
    from onenet.runtimes.session import Session

RUNTIMES = {".tflite": "litert", ".onnx": "onnxruntime", ".mlpackage": "coreml", ".null": "null"}
"""Suffix -> file of ``backends``. Each has ``load(path, threads, exact_int8)`` and ``read_manifest(path)``."""


def open_session(path: Path, threads: int | None = None, *, exact_int8: bool = False) -> Session:
    """Open an artifact in the runtime that its suffix names.

    Args:
        threads: CPU threads; None takes all cores that this process may use.
        exact_int8: compute quantized operators as float arithmetic where this runtime's int8 kernels may saturate
            (onnxruntime on x86 CPUs without VNNI). Slower; the other runtimes need no such form.

    Raises:
        RequestError: no such file, a suffix that no runtime opens, or less than one thread.
        ToolError: the runtime is not installed, or cannot load the file.
    """
    if threads is not None and threads < 1:
        raise RequestError(f"{threads} threads asked; give 1 or more, or none for all cores")
    session: Session = runtime_of(path).load(path, threads, exact_int8)
    return session


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest embedded in an artifact; None where it carries none.

    Raises:
        RequestError: no such file, or a suffix that no runtime opens.
        CheckError: the manifest is damaged.
        ToolError: the runtime is not installed, or the file cannot be read.
    """
    manifest: dict[str, Any] | None = runtime_of(path).read_manifest(path)
    return manifest


def runtime_of(path: Path) -> ModuleType:
    if path.suffix not in RUNTIMES:
        supported = ", ".join(RUNTIMES)
        raise RequestError(f"no runtime opens {path.name}: suffix {path.suffix or 'none'!r}; supported: {supported}")
    if not path.exists():
        raise RequestError(f"artifact {path} does not exist")
    if not (path.is_file() or path.is_dir()):  # a pipe would block for ever
        raise RequestError(f"artifact {path} is not a regular file")
    return importlib.import_module(f"onenet.runtimes.backends.{RUNTIMES[path.suffix]}")
