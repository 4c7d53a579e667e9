"""ONNX, for ONNX Runtime and whatever else reads it."""

from __future__ import annotations

from onenet.targets import Target

TARGET = Target(
    name="onnx",
    title="ONNX",
    suffix=".onnx",
    layout="NCHW",
    order=2,
    packages=("torch", "torchao", "onnx", "onnxscript"),
    int8_io=True,
    rules=(
        *("int8_clamp", "scale_taken_up", "input_shift", "small_numbers", "winograd"),
        *("requantize", "pixel_order", "layout", "concat_order", "layout"),
    ),
    colour="#0072b2",
    width=3.5,
    marker="o",
    page_colours=("#0072b2", "#56b4e9"),
)
