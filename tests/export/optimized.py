"""What onnxruntime makes of a file before it runs it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
import onnxruntime


def optimized_operators(path: Path, folder: Path) -> Counter[str]:
    """How many nodes of each kind are left, by name.

    Args:
        path: of an ONNX file.
        folder: where the optimized file may lie.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node)
