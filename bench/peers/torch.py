"""PyTorch: the literal network as it is, and compiled."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from bench.networks import load_data, load_literal
from bench.peers import TORCH, Loaded, Row

REQUIREMENTS = (TORCH, "numpy==2.4.6")
ROWS = (Row("eager", "torch eager", "fp32"), Row("compile", "torch.compile", "fp32"))


def convert(network: Path, row: Row, out: Path) -> dict[str, Any]:
    import torch

    if row.key == "compile" and not (shutil.which("g++") or shutil.which("clang++")):
        raise RuntimeError("torch.compile needs a C++ compiler; neither g++ nor clang++ is installed")
    for name in ("weights.pt", "network.json"):
        shutil.copy(network / name, out / name)
    if row.key == "eager":
        return {"files": ["weights.pt"], "settings": "inference_mode"}
    load(out, row, 1).run(torch.from_numpy(load_data(network)["image"]))  # a network that does not compile shows here
    return {"files": ["weights.pt"], "settings": "inductor, default mode"}


def load(out: Path, row: Row, threads: int) -> Loaded:
    import torch

    torch.set_num_threads(threads)
    literal = load_literal(out)
    module = torch.compile(literal) if row.key == "compile" else literal

    def run(image: Any) -> Any:
        with torch.inference_mode():
            return module(image)

    return Loaded(run, torch.from_numpy, lambda result: result.numpy())
