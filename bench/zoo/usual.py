"""The usual way to each format: what the documentation of the converters says, on the network as its package made it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.peers.litert import quantize_file
from bench.peers.onnxruntime import Images


def tflite(module: Any, images: Sequence[Any], path: Path) -> None:
    import litert_torch
    import torch

    litert_torch.convert(module, (torch.from_numpy(images[0][None]),)).export(str(path))


def tflite_int8(module: Any, images: Sequence[Any], path: Path) -> None:
    floats = path.with_suffix(".float.tflite")
    tflite(module, images, floats)
    quantize_file(floats, images, path)


def onnx(module: Any, images: Sequence[Any], path: Path) -> None:
    import torch

    example = (torch.from_numpy(images[0][None]),)
    torch.onnx.export(module, example, str(path), dynamo=True, external_data=False, input_names=["image"], verbose=False)


def onnx_int8(module: Any, images: Sequence[Any], path: Path) -> None:
    """Quantize and dequantize pairs, a scale per channel: what onnxruntime's documentation recommends for CPUs."""
    from onnxruntime import quantization as q
    from onnxruntime.quantization.shape_inference import quant_pre_process

    floats, prepared = path.with_suffix(".float.onnx"), path.with_suffix(".prepared.onnx")
    onnx(module, images, floats)
    quant_pre_process(floats, prepared)
    q.quantize_static(prepared, path, Images(images), per_channel=True)


def coreml(module: Any, images: Sequence[Any], path: Path) -> None:
    import coremltools as ct
    import torch

    example = (torch.from_numpy(images[0][None]),)
    program = torch.export.export(module, example).run_decompositions({})
    ct.convert(program, convert_to="mlprogram", compute_precision=ct.precision.FLOAT32).save(str(path))


WAYS: dict[tuple[str, str], Callable[[Any, Sequence[Any], Path], None]] = {
    ("tflite", "fp32"): tflite,
    ("tflite", "int8"): tflite_int8,
    ("onnx", "fp32"): onnx,
    ("onnx", "int8"): onnx_int8,
    ("coreml", "fp32"): coreml,
}
"""Core ML's own int8 needs a Mac to calibrate."""
