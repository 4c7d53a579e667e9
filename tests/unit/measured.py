"""Documents with figures that nobody measured: seeded, of the shape and the size that ``onenet bench`` writes."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from onenet.runtimes.agent.content import TIMED, threads_row
from onenet.runtimes.agent.plan import Plan
from onenet.runtimes.agent.records import CheckInfo, Parity, Round
from onenet.runtimes.measure import document
from onenet.runtimes.measure.document import Measurement
from onenet.runtimes.measure.documents import Documents

QUALITY = {
    "fp32": {"images": 70, "miou": 0.8883, "miou_float": 0.8883, "dice": 0.9389, "sqnr_db": 122.6, "label_agreement": 1.0},
    "fp16": {"images": 70, "miou": 0.8882, "miou_float": 0.8883, "dice": 0.9389, "sqnr_db": 59.1, "label_agreement": 0.9999},
    "int8": {"images": 70, "miou": 0.8879, "miou_float": 0.8883, "dice": 0.9387, "sqnr_db": 29.7, "label_agreement": 0.9988},
    "w8": {"images": 70, "miou": 0.8880, "miou_float": 0.8883, "dice": 0.9388, "sqnr_db": 43.1, "label_agreement": 0.9996},
}
MEGABYTES = {"fp32": 3.59, "fp16": 1.82, "int8": 0.97, "w8": 0.96}
RUNTIMES = {"tflite": ("ai-edge-litert", "2.3.0"), "onnx": ("onnxruntime", "1.31.1"), "coreml": ("coreml", "18.2")}

BOARD = {
    "model": "A board",
    "cpu": "Cortex-A72",
    "cores": 4,
    "memory_bytes": 4_000_000_000,
    "system": "Linux 6.6",
    "machine": "aarch64",
    "libc": "glibc 2.36",
    "python": "3.11.2",
    "features": ["asimd"],
}


def rounds(
    ms: float, *, between: float = 0.01, within: float = 0.02, count: int = 3, runs: int = 40, seed: int = 0
) -> list[Round]:
    """Rounds of processes whose medians differ by ``between`` (relative standard deviation)."""
    random = np.random.default_rng(seed)
    medians = ms * np.exp(random.normal(0, between, count))
    samples = medians[:, None] * np.exp(np.abs(random.normal(0, within, (count, runs))))
    return [Round(3 * ms, 1.5 * ms, 5, each.tolist(), 60_000_000 + i) for i, each in enumerate(samples)]


def states(count: int = 3, start: float = 45.0, end: float = 62.0) -> list[dict[str, Any]]:
    """What a Raspberry Pi says while it warms up."""
    degrees = end - (end - start) * np.exp(-3 * np.arange(count) / count)
    same = {"frequency_mhz": [1500.0] * 4, "governor": "ondemand", "throttled": "no", "power": "mains"}
    return [
        {"seconds": 5.0 * i, "load": 0.1 + i / count, "temperature_c": {"cpu-thermal": float(each)}, **same}
        for i, each in enumerate(degrees)
    ]


def content(
    ms: float = 10.0,
    *,
    model: str = "onenet-ed4",
    target: str = "tflite",
    precision: str = "int8",
    device: str = "local",
    threads: tuple[int, ...] = (1,),
    file: str | None = None,
    seed: int = 0,
    spread: dict[str, Any] | None = None,
    row: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A document's content. ``spread``: options of ``rounds``; ``row``: more figures of each row; ``more``: of the document."""
    file = file or f"{model}_{precision}.{target}"
    name, version = RUNTIMES[target]
    made = [
        threads_row(n, rounds(ms / n**0.7, seed=seed + n, **(spread or {})), peak_method="VmHWM").as_dict() for n in threads
    ]
    made = [{**each, **(row or {})} for each in made]
    kind = device.partition(":")[0]
    return {
        "schema": 1,
        "tool": "onenet 0.1.0",
        "measured": "2026-01-02T03:04:05Z",
        "artifact": {
            "file": file,
            "sha256": hashlib.sha256(file.encode()).hexdigest(),
            "bytes": round(1e6 * MEGABYTES.get(precision, 1.0)),
            "model": model,
            "target": target,
            "precision": precision,
            "input_shape": [1, 256, 256, 3],
            "quality": QUALITY.get(precision, {}),
        },
        "device": {**BOARD, "name": device, "kind": kind},
        "runtime": {"name": name, "version": version, "kernels": "XNNPACK"},
        "parity": {
            "passed": True,
            "where": "device",
            "checks": [{"name": "values of logits", "passed": True, "detail": "0.14 steps off on average (<= 1)"}],
        },
        "plan": Plan(threads=threads).as_dict(),
        "timed": TIMED,
        "rows": made,
        "operators": {"counts": {"CONV_2D": 21, "RESHAPE": 8, "TRANSPOSE": 4}, "partitions": 1, "times": []},
        "warnings": [],
        **more,
    }


def measurement(ms: float = 10.0, **options: Any) -> Measurement:
    return document.validate(content(ms, **options), "a test")


def documents(*found: Measurement) -> Documents:
    return Documents(found)


def write(folder: Path, *found: Measurement) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i, each in enumerate(found):
        (folder / f"{i}{document.SUFFIX}").write_text(each.to_json())
    return folder


def emulated(found: Measurement) -> Measurement:
    """The same on a processor that is not there."""
    return replace(found, device=replace(found.device, emulated="qemu-user 10.0"))


def failing(found: Measurement) -> Measurement:
    """The same with a golden check that fails."""
    check = CheckInfo("values of logits", False, "9.00 steps off on average (<= 1)")
    return replace(found, parity=Parity(False, "device", [check]))
