"""litert-torch's default conversion, and its file quantized by ai-edge-quantizer, in LiteRT's interpreter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.networks import load_data, load_literal
from bench.peers import TORCH, Loaded, Row

REQUIREMENTS = (TORCH, "litert-torch==0.10.0", "ai-edge-quantizer==0.10.0", "ai-edge-litert==2.3.0")
ROWS = (
    Row("fp32", "litert-torch", "fp32"),
    Row("int8", "litert-torch + quantizer", "int8"),
    Row("int8-plain", "litert-torch + quantizer, no XNNPACK", "int8", uses="litert/int8", fallback=True),
)
SAMPLES = 2
"""The quantizer's calibration runs reference kernels: about 10 s for one 256x256 image."""
FILE = "model.tflite"


def convert(network: Path, row: Row, out: Path) -> dict[str, Any]:
    import litert_torch
    import torch

    data = load_data(network)
    float_file = out / "float.tflite" if row.precision == "int8" else out / FILE
    litert_torch.convert(load_literal(network), (torch.from_numpy(data["image"]),)).export(str(float_file))
    if row.precision == "fp32":
        return {"files": [FILE], "settings": "default"}
    quantize_file(float_file, data["calibration"][:SAMPLES], out / FILE)
    float_file.unlink()
    settings = f"static_wi8_ai8, calibrated on {SAMPLES} images (its calibration runs reference kernels)"
    return {"files": [FILE], "settings": settings}


def quantize_file(source: Path, images: Any, target: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import quantizer, recipe

    signature = Interpreter(model_path=str(source)).get_signature_list()
    ((key, names),) = signature.items()
    tool = quantizer.Quantizer(str(source), recipe.static_wi8_ai8())
    statistics = tool.calibrate({key: [{names["inputs"][0]: image[None]} for image in images]})
    tool.quantize(statistics).export_model(str(target), overwrite=True)


def load(out: Path, row: Row, threads: int) -> Loaded:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kind = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if row.key == "int8-plain" else OpResolverType.AUTO
    interpreter = Interpreter(model_path=str(out / FILE), num_threads=threads, experimental_op_resolver_type=kind)
    interpreter.allocate_tensors()
    (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(stored: Any) -> Any:
        interpreter.set_tensor(source["index"], stored)
        interpreter.invoke()
        return interpreter.get_tensor(result["index"])

    return Loaded(run, lambda image: quantize(image, *source["quantization"]), lambda y: dequantize(y, *result["quantization"]))


def quantize(image: Any, scale: float, zero_point: int) -> Any:
    """The quantizer makes int8 inputs and outputs; a scale of 0 marks a float one."""
    import numpy as np

    return np.clip(np.rint(image / scale) + zero_point, -128, 127).astype(np.int8) if scale else image


def dequantize(stored: Any, scale: float, zero_point: int) -> Any:
    return (stored.astype("float32") - zero_point) * scale if scale else stored
