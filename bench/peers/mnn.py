"""MNN, from ONNX, fp32 and quantized by its offline quantizer.

Through MNN's C++ module and not through its scripts ``mnnconvert`` and ``mnnquant``: those install another package with
whatever pip is first on the path, and report their use.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from bench.networks import load_data, load_literal
from bench.peers import TORCH, Loaded, Row

REQUIREMENTS = (TORCH, "MNN==3.6.1", "onnx==1.23.2", "onnxscript==0.7.2")
ROWS = (Row("fp32", "MNN", "fp32"), Row("int8", "MNN, offline quantization", "int8"))
FILE = "model.mnn"


def convert(network: Path, row: Row, out: Path) -> dict[str, Any]:
    import _tools
    import torch

    data = load_data(network)
    source, plain = out / "float.onnx", out / (FILE if row.precision == "fp32" else "float.mnn")
    example = (torch.from_numpy(data["image"]),)
    names: Any = {"input_names": ["image"], "output_names": ["logits"]}
    torch.onnx.export(load_literal(network), example, str(source), dynamo=True, external_data=False, **names)
    _tools.mnnconvert(["mnnconvert", "-f", "ONNX", "--modelFile", str(source), "--MNNModel", str(plain), "--bizCode", "bench"])
    source.unlink()
    if not plain.exists():
        raise RuntimeError("mnnconvert wrote no model")
    settings = "default"
    if row.precision == "int8":
        settings = quantize(plain, data["calibration"], out)
        plain.unlink()
    return {"files": [FILE], "settings": settings}


def quantize(plain: Path, images: Any, out: Path) -> str:
    """The quantizer reads image files: 8-bit PPM, which hold calibration images (0..255, divided by 255) without loss."""
    import _tools
    import numpy as np

    folder = out / "images"
    folder.mkdir()
    height, width = images.shape[2:]
    for i, image in enumerate(images):
        pixels = np.rint(image.transpose(1, 2, 0) * 255).astype(np.uint8)
        (folder / f"{i}.ppm").write_bytes(f"P6 {width} {height} 255\n".encode() + pixels.tobytes())
    options = {
        "format": "RGB",
        "mean": [0.0] * 3,
        "normal": [1 / 255] * 3,
        "width": width,
        "height": height,
        "path": f"{folder}/",
        "used_sample_num": len(images),
        "feature_quantize_method": "KL",
        "weight_quantize_method": "MAX_ABS",
        "input_type": "image",
    }
    (out / "quantize.json").write_text(json.dumps(options))
    _tools.mnnquant(["mnnquant", str(plain), str(out / FILE), str(out / "quantize.json")])
    if not (out / FILE).exists():
        raise RuntimeError("mnnquant wrote no model")
    shutil.rmtree(folder)
    return f"KL, MAX_ABS, calibrated on {len(images)} images"


def load(out: Path, row: Row, threads: int) -> Loaded:
    import MNN
    import numpy as np

    del row
    options = {"backend": "CPU", "numThread": threads, "precision": "high"}  # fp32, not what it thinks is enough
    manager = MNN.nn.create_runtime_manager((options,))
    net = MNN.nn.load_module_from_file(str(out / FILE), ["image"], ["logits"], runtime_manager=manager)

    def feed(image: Any) -> Any:
        variable = MNN.expr.placeholder(list(image.shape), MNN.expr.NCHW)
        variable.write(image)
        return variable

    def run(variable: Any) -> Any:
        result = net.forward(variable)
        result.read()  # nothing is computed before it is read
        return result

    def finish(result: Any) -> Any:
        return np.array(MNN.expr.convert(result, MNN.expr.NCHW).read())

    return Loaded(run, feed, finish)
