"""onnx2tf (ONNX, TensorFlow, TFLite's converter) on the literal network, in LiteRT's interpreter."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from bench.networks import load_data, load_literal
from bench.peers import TORCH, Loaded, Row
from bench.peers.litert import dequantize, quantize

REQUIREMENTS = (TORCH, "onnx2tf==1.29.24", "onnxscript==0.7.2", "ai-edge-litert==2.1.0")
ROWS = (Row("fp32", "onnx2tf", "fp32"), Row("int8", "onnx2tf -oiqt", "int8"))
FILE = "model.tflite"
SAMPLES = "calibration_image_sample_data_20x128x128x3_float32.npy"


def convert(network: Path, row: Row, out: Path) -> dict[str, Any]:
    import numpy as np
    import torch

    os.chdir(out)
    data = load_data(network)
    # It compares its steps on sample images, which it downloads unless they lie in the working directory: 20 of 128x128.
    images = data["calibration"].transpose(0, 2, 3, 1)
    cut = np.resize(images, (20, *images.shape[1:]))
    cut = np.pad(cut, ((0, 0), (0, 128), (0, 128), (0, 0)), mode="wrap")[:, :128, :128]
    np.save(SAMPLES, cut)
    import onnx2tf

    names: Any = {"input_names": ["image"], "output_names": ["logits"]}
    example = (torch.from_numpy(data["image"]),)
    torch.onnx.export(load_literal(network), example, str(out / "float.onnx"), dynamo=True, external_data=False, **names)
    options: dict[str, Any] = {}
    settings = "default"
    if row.precision == "int8":
        np.save(out / "images.npy", images)
        options["output_integer_quantized_tflite"] = True
        options["custom_input_op_name_np_data_path"] = [["image", str(out / "images.npy"), [[[[0.0] * 3]]], [[[[1.0] * 3]]]]]
        settings = f"integer quantization with float inputs and outputs, calibrated on {len(data['calibration'])} images"
    made = out / "made"
    onnx2tf.convert(str(out / "float.onnx"), output_folder_path=str(made), non_verbose=True, **options)
    found = made / ("float_integer_quant.tflite" if row.precision == "int8" else "float_float32.tflite")
    shutil.move(found, out / FILE)
    shutil.rmtree(made)
    for path in out.iterdir():
        if path.name != FILE:
            path.unlink()
    return {"files": [FILE], "settings": settings}


def load(out: Path, row: Row, threads: int) -> Loaded:
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    del row
    interpreter = Interpreter(model_path=str(out / FILE), num_threads=threads)
    interpreter.allocate_tensors()
    (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(stored: Any) -> Any:
        interpreter.set_tensor(source["index"], stored)
        interpreter.invoke()
        return interpreter.get_tensor(result["index"])

    return Loaded(
        run,
        lambda image: quantize(np.ascontiguousarray(image.transpose(0, 2, 3, 1)), *source["quantization"]),
        lambda stored: to_nchw(dequantize(stored, *result["quantization"]), source["shape"][1:3]),
    )


def to_nchw(logits: Any, size: Any) -> Any:
    """It makes outputs NHWC, except where the network ends in a reshape: then they stay NCHW."""
    return logits.transpose(0, 3, 1, 2) if tuple(logits.shape[1:3]) == tuple(size) else logits
