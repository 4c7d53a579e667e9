"""torch.onnx and onnxruntime on the literal network; int8 by ``quantize_static`` in the fastest of its documented settings."""

from __future__ import annotations

import itertools
import os
import shutil
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.networks import load_data, load_literal
from bench.peers import TORCH, Loaded, Row

REQUIREMENTS = (TORCH, "onnx==1.23.2", "onnxscript==0.7.2", "onnxruntime==1.31.1", "sympy==1.14.0")
ROWS = (Row("fp32", "torch.onnx + onnxruntime", "fp32"), Row("int8", "torch.onnx + quantize_static", "int8"))
FILE = "model.onnx"
TRIAL_S = 1.0


def convert(network: Path, row: Row, out: Path) -> dict[str, Any]:
    data = load_data(network)
    if row.precision == "fp32":
        export(network, data["image"], out / FILE)
        return {"files": [FILE], "settings": "dynamo exporter, default"}
    source = out / "float.onnx"
    export(network, data["image"], source)
    trials = [quantize(source, data, setting, out) for setting in settings()]
    best = min((t for t in trials if "ms" in t), key=lambda t: t["ms"], default=None)
    if best is None:
        raise RuntimeError(f"quantize_static fails in all settings: {trials[0]['reason']}")
    shutil.move(out / best["file"], out / FILE)
    for path in out.glob("*.onnx"):
        if path.name != FILE:
            path.unlink()
    return {"files": [FILE], "settings": f"{best['setting']}, the fastest of {len(trials)}", "trials": trials}


def export(network: Path, image: Any, path: Path) -> None:
    import torch

    module, example = load_literal(network), (torch.from_numpy(image),)
    names: Any = {"input_names": ["image"], "output_names": ["logits"]}
    torch.onnx.export(module, example, str(path), dynamo=True, external_data=False, **names)


def settings() -> Iterator[tuple[str, bool, str]]:
    """Format, weights per channel, activation type; weights are QInt8."""
    return itertools.product(("QDQ", "QOperator"), (True, False), ("QInt8", "QUInt8"))


def quantize(source: Path, data: dict[str, Any], setting: tuple[str, bool, str], out: Path) -> dict[str, Any]:
    """One trial: how it was quantized and, if it runs, how fast, or the reason why not."""
    from onnxruntime import quantization as q
    from onnxruntime.quantization.shape_inference import quant_pre_process

    form, per_channel, activations = setting
    text = f"{form}, {'per channel' if per_channel else 'per tensor'}, {activations} activations"
    prepared = out / "prepared.onnx"
    path = out / f"{form}-{per_channel}-{activations}.onnx"
    try:
        if not prepared.exists():
            quant_pre_process(source, prepared)
        q.quantize_static(
            prepared,
            path,
            Images(data["calibration"]),
            quant_format=q.QuantFormat[form],
            per_channel=per_channel,
            activation_type=q.QuantType[activations],
            weight_type=q.QuantType.QInt8,
        )
        return {"setting": text, "file": path.name, "ms": trial_ms(path, data["image"])}
    except Exception as error:  # each setting may fail in a way of its own
        return {"setting": text, "reason": f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"[:300]}


class Images:
    """What onnxruntime calls a CalibrationDataReader."""

    def __init__(self, images: Any) -> None:
        self.rest = iter(images)

    def get_next(self) -> dict[str, Any] | None:
        image = next(self.rest, None)
        return None if image is None else {"image": image[None]}


def trial_ms(path: Path, image: Any) -> float:
    """Median of a short measurement on one thread."""
    run = load_file(path, 1).run
    run(image)
    samples: list[float] = []
    end = time.perf_counter() + TRIAL_S
    while len(samples) < 3 or time.perf_counter() < end:
        began = time.perf_counter()
        run(image)
        samples.append(time.perf_counter() - began)
    return round(1e3 * statistics.median(samples), 3)


def load(out: Path, row: Row, threads: int) -> Loaded:
    del row
    return load_file(out / FILE, threads)


def load_file(path: Path, threads: int) -> Loaded:
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # it reports its use unless told not to before the import
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return Loaded(lambda image: session.run(None, {"image": image}), finish=lambda results: results[0])
