"""A runtime that computes nothing: zeros of the declared shapes, for testing what stands around a runtime.

A ``.null`` file is JSON: ``{"inputs": [TensorSpec...], "outputs": [TensorSpec...]}``; ``onenet`` may hold a manifest, and
``milliseconds`` the time that a run takes, for testing what measures it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from onenet.base.arrays import Array
from onenet.base.data import parse_json
from onenet.base.text import one_line
from onenet.errors import CheckError, ToolError
from onenet.runtimes.session import METADATA, Runtime, RuntimeInfo, Session
from onenet.runtimes.tensors import check_feeds, read_spec


class NullSession(Session):
    """Outputs are zeros; open axes get length 1."""

    def __init__(self, path: Path) -> None:
        self.path = path
        content = read(path)
        try:
            self.inputs = tuple(read_spec(t) for t in content["inputs"])
            self.outputs = tuple(read_spec(t) for t in content["outputs"])
            self.seconds = float(content.get("milliseconds", 0)) / 1000
        except (KeyError, TypeError, ValueError) as error:
            raise ToolError(f"{path.name} does not describe inputs and outputs: {one_line(error)}") from error
        self.runtime = RuntimeInfo("null", "1", "zeros")

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        check_feeds(feeds, self.inputs)
        end = time.perf_counter() + self.seconds
        while time.perf_counter() < end:  # as a network would, not asleep
            pass
        try:
            return {t.name: np.zeros([abs(n) for n in t.shape], t.dtype) for t in self.outputs}
        except (MemoryError, ValueError) as error:
            raise ToolError(f"null failed: {one_line(error)}") from error


def open_file(path: Path, threads: int | None, exact_int8: bool) -> NullSession:
    """A session that computes nothing, whatever threads and exact_int8 are."""
    del threads, exact_int8  # nothing is computed
    return NullSession(path)


def read_manifest(path: Path) -> dict[str, object] | None:
    """The object under the key ``onenet``."""
    manifest = read(path).get(METADATA)
    if manifest is not None and not isinstance(manifest, dict):
        raise CheckError(f"the manifest inside {path.name} is a {type(manifest).__name__}, not an object")
    return manifest


def read(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises ToolError where it cannot be read or holds another JSON value."""
    try:
        content = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ToolError(f"{path.name} cannot be read: {one_line(error)}") from error
    if not isinstance(content, dict):
        raise ToolError(f"{path.name} holds a JSON {type(content).__name__}, not an object")
    return content


RUNTIMES = (Runtime("null", "null", (".null",), order=9, open=open_file, read_manifest=read_manifest, travels=True),)
