"""Artifacts of the null runtime and their manifests."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from onenet.base.files import sha256_of
from onenet.runtimes import golden
from onenet.runtimes.artifact import SCHEMA, sidecar_of
from onenet.spec import TensorSpec

LOGITS = TensorSpec("logits", "logits", (1, 3, 8, 8), "NCHW")
IMAGE = TensorSpec("image", "image", (1, 3, 8, 8), "NCHW", value_range=(0.0, 1.0))


def manifest(**changes: Any) -> dict[str, Any]:
    zeros = np.zeros(LOGITS.shape, np.float32)
    return {
        "schema": SCHEMA,
        "target": "null",
        "precision": "fp32",
        "inputs": [asdict(IMAGE)],
        "outputs": [asdict(LOGITS)],
        "golden": {
            "inputs": [golden.make_input(IMAGE, None)],
            "outputs": [golden.make_output("logits", zeros, True, None)],
        },
        **changes,
    }


def write(folder: Path, embedded: Any, *, beside: bool = True, **session: Any) -> Path:
    path = folder / "model.null"
    content = {"inputs": [asdict(IMAGE)], "outputs": [asdict(LOGITS)], **session}
    path.write_text(json.dumps(content if embedded is None else {**content, "onenet": embedded}))
    if beside:
        described = {**(embedded or {}), "artifact": {"sha256": sha256_of(path)}}
        sidecar_of(path).write_text(json.dumps(described))
    return path
