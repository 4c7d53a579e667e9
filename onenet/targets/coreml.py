"""Core ML ML programs, for Apple's devices."""

from __future__ import annotations

from onenet.base.drawing import INK
from onenet.targets import Target

TARGET = Target(
    name="coreml",
    title="Core ML",
    suffix=".mlpackage",
    layout="NCHW",
    order=3,
    packages=("torch", "torchao", "coremltools"),
    narrowed=("int64",),
    # Core ML keeps its own pixel operators, because its accelerators store planes, not pixels. No int8 ends: its inputs are
    # images and floats.
    rules=("int8_clamp", "transposed_zeros", "resize", "crop_pad", "distinct_outputs"),
    sqnr_db={"fp16": 40.0},  # activations are rounded after every operator too: 45 to 64 dB an image on the shipped models
    colour=INK,
    width=1.2,
    marker="^",
    page_colours=("#009e73", "#1fbf8f"),
)
