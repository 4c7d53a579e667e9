"""OpenVINO on the literal network, with NNCF for int8; and our ONNX files in OpenVINO."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.networks import load_data, load_literal
from bench.peers import TORCH, Loaded, Row

REQUIREMENTS = (TORCH, "openvino==2026.4.1", "nncf==3.4.0")
ROWS = (
    Row("fp32", "OpenVINO", "fp32"),
    Row("int8", "OpenVINO + NNCF", "int8"),
    Row("onenet-fp32", "onenet ONNX in OpenVINO", "fp32", ours=True, uses="onenet/onnx-fp32"),
    Row("onenet-int8", "onenet ONNX in OpenVINO", "int8", ours=True, uses="onenet/onnx-int8"),
)


def convert(network: Path, row: Row, out: Path) -> dict[str, Any]:
    import nncf
    import openvino
    import torch

    data = load_data(network)
    example = torch.from_numpy(data["image"])
    model = openvino.convert_model(load_literal(network), example_input=example, input=[tuple(example.shape)])
    settings = "default"
    if row.precision == "int8":
        images = [image[None] for image in data["calibration"]]
        model = nncf.quantize(model, nncf.Dataset(images), subset_size=len(images))
        settings = f"nncf.quantize defaults, calibrated on {len(images)} images"
    openvino.save_model(model, out / "model.xml", compress_to_fp16=False)
    return {"files": ["model.xml", "model.bin"], "settings": settings}


def load(out: Path, row: Row, threads: int) -> Loaded:
    import openvino

    del row
    (path,) = [each for each in out.iterdir() if each.suffix in (".xml", ".onnx")]
    options = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",  # its default is bf16 on CPUs that have it: then fp32 would not be fp32
    }
    compiled = openvino.Core().compile_model(path, "CPU", options)
    request = compiled.create_infer_request()
    return Loaded(lambda image: request.infer([image]), finish=lambda results: results[compiled.output(0)])
