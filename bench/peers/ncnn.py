"""ncnn, from TorchScript through pnnx. Its int8 tools (ncnn2table, ncnn2int8) are not in the Python package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.networks import load_data, load_literal
from bench.peers import TORCH, Loaded, Row

REQUIREMENTS = (TORCH, "ncnn==1.0.20261020", "pnnx==20261020")
ROWS = (Row("fp32", "ncnn (pnnx)", "fp32"), Row("int8", "ncnn (pnnx)", "int8"))
PARAM, WEIGHTS = "model.ncnn.param", "model.ncnn.bin"


def convert(network: Path, row: Row, out: Path) -> dict[str, Any]:
    import torch

    if row.precision == "int8":
        raise RuntimeError(
            "the packages ncnn and pnnx bring no int8 quantizer (ncnn2table and ncnn2int8 are built from source)"
        )
    image = torch.from_numpy(load_data(network)["image"])
    traced = torch.jit.trace(load_literal(network), image)
    traced.save(str(out / "model.pt"))
    shape = ",".join(map(str, image.shape))
    command = [str(Path(sys.executable).with_name("pnnx")), "model.pt", f"inputshape=[{shape}]", "fp16=0"]
    done = subprocess.run(command, cwd=out, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr)
    if not (out / PARAM).exists():
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise RuntimeError(f"pnnx wrote no ncnn model: {lines[-1] if lines else f'exit status {done.returncode}'}")
    for path in out.iterdir():
        if path.name not in (PARAM, WEIGHTS):
            path.unlink()
    return {"files": [PARAM, WEIGHTS], "settings": " ".join(command[2:])}


def load(out: Path, row: Row, threads: int) -> Loaded:
    import ncnn
    import numpy as np

    del row
    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    if net.load_param(str(out / PARAM)) or net.load_model(str(out / WEIGHTS)):
        raise RuntimeError("ncnn cannot load the model that pnnx wrote")

    def run(image: Any) -> Any:
        extractor = net.create_extractor()
        extractor.input("in0", image)
        code, result = extractor.extract("out0")
        if code:
            raise RuntimeError(f"ncnn fails to compute the network (error {code})")
        return result

    return Loaded(run, lambda image: ncnn.Mat(image[0]).clone(), lambda result: np.array(result)[None])
