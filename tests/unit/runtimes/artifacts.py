"""Artifacts of the null runtime and their manifests."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from onenet.base.files import sha256_of
from onenet.runtimes.artifact import sidecar_of
from onenet.spec import TensorSpec
from tests.null_artifact import IMAGE, null_manifest

LOGITS = TensorSpec("logits", "logits", (1, 3, 8, 8), "NCHW")


def manifest(**changes: Any) -> dict[str, Any]:
    """A manifest whose golden output is the zeros that the null runtime gives."""
    return null_manifest(LOGITS, np.zeros(LOGITS.shape, np.float32), **changes)


def write(folder: Path, embedded: Any, *, beside: bool = True, **session: Any) -> Path:
    path = folder / "model.null"
    content = {"inputs": [asdict(IMAGE)], "outputs": [asdict(LOGITS)], **session}
    path.write_text(json.dumps(content if embedded is None else {**content, "onenet": embedded}))
    if beside:
        described = {**(embedded or {}), "artifact": {"sha256": sha256_of(path)}}
        sidecar_of(path).write_text(json.dumps(described))
    return path
