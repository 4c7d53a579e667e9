"""Does the agent measure what the interpreter takes? The agent beside a bare loop of each interpreter, in turn, in one run.

    python -m bench.overhead [ARTIFACT...]        default: the shipped onenet-ed4, fp32 and int8, TFLite and ONNX

A bare loop is a script of ten lines that knows nothing of onenet: it loads the file, warms up, and calls the interpreter.
Writes docs/benchmarks/overhead.md and .json.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import onenet
from bench.context import context
from bench.networks import ROOT
from onenet.base.quiet import quiet
from onenet.calibration.samples import default_calibration
from onenet.runtimes.agent.plan import Plan
from onenet.runtimes.devices import Job, open_device

OUT = ROOT / "docs/benchmarks"
TURNS = 7
SECONDS = 1.0
LITERT = """
import sys, time
from ai_edge_litert.interpreter import Interpreter
net = Interpreter(model_path=sys.argv[1], num_threads=1)
net.allocate_tensors()
image, result = net.get_input_details()[0], net.get_output_details()[0]
import numpy
x = numpy.full(image["shape"], 0.5, image["dtype"])
def run():
    net.set_tensor(image["index"], x)
    net.invoke()
    net.get_tensor(result["index"])
"""
ORT = """
import os, sys, time
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
net = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
image = net.get_inputs()[0]
x = numpy.full(image.shape, 0.5, numpy.float32)
def run():
    net.run(None, {image.name: x})
"""
LOOP = """
end = time.perf_counter() + 0.5
while time.perf_counter() < end:
    run()
times, end = [], time.perf_counter() + float(sys.argv[2])
while time.perf_counter() < end:
    start = time.perf_counter()
    run()
    times.append(1000 * (time.perf_counter() - start))
print(sorted(times)[len(times) // 2])
"""
BARE = {".tflite": LITERT + LOOP, ".onnx": ORT + LOOP}


def bare(path: Path) -> float:
    """Median milliseconds by the interpreter's own loop."""
    command = [sys.executable, "-c", BARE[path.suffix], str(path), str(SECONDS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def agent(path: Path) -> float:
    """Median milliseconds by ``onenet bench``, of one round of one thread."""
    device = open_device("local")
    try:
        document = device.measure(Job(path, Plan(threads=(1,), seconds=SECONDS, rounds=1)))
    finally:
        device.close()
    return float(document["rows"][0]["summary"]["p50_ms"])


def compare(path: Path) -> dict[str, Any]:
    """In turn, so that what else the machine does falls on both."""
    pairs = []
    for turn in range(TURNS):
        both = (bare, agent) if turn % 2 else (agent, bare)
        found = {measure.__name__: measure(path) for measure in both}
        pairs.append(found)
        print(f"{path.name}: {found['agent']:.3f} ms by the agent, {found['bare']:.3f} ms bare", file=sys.stderr)
    ratios = [pair["agent"] / pair["bare"] for pair in pairs]
    return {
        "artifact": path.name,
        "pairs": pairs,
        "agent_ms": median(pair["agent"] for pair in pairs),
        "bare_ms": median(pair["bare"] for pair in pairs),
        "ratio": median(ratios),
        "ratios": sorted(ratios),
    }


def shipped(folder: Path) -> list[Path]:
    model = onenet.build("onenet-ed4")
    with quiet():
        lowered = onenet.lower(model)
        images = onenet.load_samples(default_calibration(), *model.image_size)
        networks = {"fp32": lowered, "int8": onenet.calibrate(lowered, images)}
        return [
            onenet.export(network, target=target, precision=precision, out=folder).path
            for precision, network in networks.items()
            for target in ("tflite", "onnx")
        ]


def table(rows: list[dict[str, Any]], machine: dict[str, Any]) -> str:
    lines = [
        "# The agent beside a bare loop",
        "",
        f"`python -m bench.overhead`: medians of {TURNS} turns each, one thread, 256x256, alternating; {machine['cpu']}, "
        f"{machine['cores']} cores. The ratio is the median of the turns' ratios, with the smallest and the largest.",
        "",
        "| artifact | agent, ms | bare loop, ms | ratio | range |",
        "|---|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {row['artifact']} | {row['agent_ms']:.3f} | {row['bare_ms']:.3f} | {row['ratio']:.3f} | "
        f"{row['ratios'][0]:.3f} to {row['ratios'][-1]:.3f} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = [compare(path) for path in map(Path, arguments)] or [compare(path) for path in shipped(Path(folder))]
    machine = context()
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "overhead.json").write_text(json.dumps({"context": machine, "rows": rows}, indent=1) + "\n")
    (OUT / "overhead.md").write_text(table(rows, machine))
    print(table(rows, machine))


if __name__ == "__main__":
    main(sys.argv[1:])
