"""An artifact that needs no converter: the null runtime's, with a manifest and a golden pair that holds."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from onenet.runtimes import golden
from onenet.spec import TensorSpec

IMAGE = TensorSpec("image", "image", (1, 3, 8, 8), "NCHW", value_range=(0.0, 1.0))
LOGITS = TensorSpec("logits", "logits", (1, 2, 8, 8), "NCHW")


def null_manifest(logits: TensorSpec, values: np.ndarray, **more: Any) -> dict[str, Any]:
    """A manifest of a network from ``IMAGE`` to ``logits`` whose golden output is ``values``."""
    return {
        "schema": 1,
        "target": "null",
        "precision": "fp32",
        "inputs": [asdict(IMAGE)],
        "outputs": [asdict(logits)],
        "golden": {
            "inputs": [golden.make_input(IMAGE, None)],
            "outputs": [golden.make_output("logits", values, True, None)],
        },
        **more,
    }


def write_null(
    path: Path,
    milliseconds: float = 0.0,
    right: bool = True,
    task: str | None = None,
    classes: Any = (),
    source: Any = None,
    **more: Any,
) -> Path:
    """A ``.null`` file whose runs take so long. ``right`` False: its golden output is not the zeros that it computes."""
    outputs = np.zeros(LOGITS.shape, np.float32) if right else np.ones(LOGITS.shape, np.float32)
    named = {} if task is None else {"task": task, "classes": list(classes), "source": source}
    manifest = null_manifest(LOGITS, outputs, name=path.stem, **named)
    content = {"inputs": [asdict(IMAGE)], "outputs": [asdict(LOGITS)], "milliseconds": milliseconds, "onenet": manifest}
    path.write_text(json.dumps({**content, **more}))
    return path
