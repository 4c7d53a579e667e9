"""TFLite, for LiteRT: phones, Raspberry Pis, microprocessors."""

from __future__ import annotations

from onenet.targets import Target

TARGET = Target(
    name="tflite",
    title="TFLite",
    suffix=".tflite",
    layout="NHWC",
    order=1,
    packages=("torch", "torchao", "litert-torch", "ai-edge-quantizer"),
    narrowed=("int64",),
    int8_io=True,
    rules=(
        *("transposed_zeros", "transposed_padding", "resize", "moved_int8", "int8_clamp"),
        *("input_shift", "row_constant"),
        *("winograd", "requantize", "pixel_order", "layout", "concat_order", "layout", "pixel_reshape"),
    ),
    open_weights=True,
    colour="#e69f00",  # of Okabe and Ito's colours, as ONNX's: told apart by every kind of colour vision
    width=7,
    marker="s",
    page_colours=("#d55e00", "#e69f00"),
)
