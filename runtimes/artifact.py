"""An artifact as its manifest describes it: canonical tensors in and out, whatever the file stores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onenet.errors import CheckError, RequestError
from onenet.runtimes import open_session, read_manifest
from onenet.runtimes.session import Session, dequantise, one_line, quantise
from onenet.spec import TensorSpec

SCHEMA = 1
"""The manifest schema this version reads."""


class Artifact:
    """An exported model, opened in its runtime.

    ``run`` takes and gives canonical tensors: images (N, C, H, W) float32 in [0, 1], outputs NCHW in float32 (labels int32).
    """

    def __init__(self, path: Path, manifest: dict[str, Any], session: Session) -> None:
        self.path, self.manifest, self.session = path, manifest, session
        try:
            self.inputs = tuple(TensorSpec.from_dict(t) for t in manifest["inputs"])
            self.outputs = tuple(TensorSpec.from_dict(t) for t in manifest["outputs"])
        except (KeyError, TypeError, AttributeError) as error:
            raise CheckError(f"the manifest of {path.name} is damaged: {one_line(error)}") from error

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        stored = {spec.name: quantise(to_stored(feeds[spec.name], spec), spec) for spec in self.inputs}
        results = self.session.run(stored)
        return {spec.name: to_canonical(dequantise(results[spec.name], spec), spec) for spec in self.outputs}


def to_stored(value: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    return np.ascontiguousarray(value.transpose(0, 2, 3, 1)) if spec.layout == "NHWC" else value


def to_canonical(value: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    return np.ascontiguousarray(value.transpose(0, 3, 1, 2)) if spec.layout == "NHWC" else value


def open_artifact(path: Path, threads: int | None = None, *, exact_int8: bool = False) -> Artifact:
    """Open an artifact made by onenet.

    Raises:
        RequestError: no such file, or a format that is not supported.
        CheckError: the file carries no onenet manifest, or one of another schema.
        ToolError: the runtime is missing or cannot load the file.
    """
    return Artifact(path, manifest_of(path), open_session(path, threads, exact_int8=exact_int8))


def manifest_of(path: Path) -> dict[str, Any]:
    """The manifest embedded in an artifact."""
    if not path.exists():
        raise RequestError(f"artifact {path} does not exist")
    manifest = read_manifest(path) or read_sidecar(path)  # tflite-runtime cannot read what is embedded
    if manifest is None:
        raise CheckError(f"{path.name} carries no onenet manifest: it was not exported by onenet, or was rewritten since")
    if manifest.get("schema") != SCHEMA:
        raise CheckError(f"{path.name} has manifest schema {manifest.get('schema')}; this version reads {SCHEMA}")
    missing = [key for key in ("target", "precision", "inputs", "outputs", "golden") if key not in manifest]
    if missing:
        raise CheckError(f"the manifest of {path.name} lacks {', '.join(missing)}; export the artifact again")
    return manifest


def sidecar_of(path: Path) -> Path:
    """Where the manifest beside an artifact lies: ``ARTIFACT.json``."""
    return path.with_name(path.name + ".json")


def read_sidecar(path: Path) -> dict[str, Any] | None:
    file = sidecar_of(path)
    if not file.exists():
        return None
    try:
        content = json.loads(file.read_text())
    except ValueError as error:
        raise CheckError(f"{file.name} is not JSON: {error}") from error
    return content if isinstance(content, dict) else None
