"""Peak memory of a 512x512 image: the published network whole in onnxruntime against onenet's artifacts in tiles of 64.

    python -m bench.memory            # prints the table and writes docs/benchmarks/memory.md and memory.json

The network is OneNet ed4 without spatial convolution at the paper's width of 64, random weights. Each row is a process of
its own with one thread; its peak is the kernel's VmHWM at its end. "above import" leaves out what Python, numpy and the
runtime take before a model is opened; "for the image" leaves out the opened model as well.

The same files run once more in the C++ runner of ``make native``, compiled for this machine: what an app of its own has to
hold, with no Python in it. There each tile is the same random one, and no picture is decoded. Needs a C++ compiler.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from PIL import Image

import onenet
from onenet.base.quiet import quiet
from onenet.calibration.samples import default_calibration
from onenet.model import Model
from onenet.runtimes.artifact import open_artifact
from onenet.runtimes.devices.native import SOURCE
from onenet.runtimes.devices.native.build import FLAGS, include

SIDE, TILE, WIDTH = 512, 64, 64
TILES = (SIDE // TILE) ** 2
LITERAL_NAME = "as published, whole image"
RUNTIMES = {"onnx": ("onnxruntime", "onnxruntime"), "tflite": ("ai-edge-litert", "ai_edge_litert.interpreter")}
"""Target -> distribution and module of its runtime."""
LIBRARIES = {
    "onnx": f"onnxruntime/capi/libonnxruntime.so.{version('onnxruntime')}",
    "tflite": "ai_edge_litert/libLiteRt.so",
}
"""Target -> the runtime's C library in its wheel."""
DOCS = Path(__file__).parents[1] / "docs" / "benchmarks"

IMPORT = "import os; os.environ['ORT_DISABLE_TELEMETRY'] = '1'; import numpy, {module}; "
PEAK = "from onenet.base.host import peak_bytes; print(peak_bytes())"
OPEN = "from pathlib import Path; from onenet.runtimes.artifact import open_artifact; artifact = open_artifact(Path({path!r}), 1); "  # noqa: E501
LITERAL = """
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession({path!r}, options, providers=["CPUExecutionProvider"])
"""
LITERAL_RUN = """
image = numpy.random.default_rng(0).random((1, 3, SIDE, SIDE), numpy.float32)
session.run(None, {session.get_inputs()[0].name: image})
"""


@dataclass(frozen=True)
class Row:
    """One process: what it ran and the memory it held at most, in bytes."""

    what: str
    runtime: str
    precision: str
    peak: int
    base: int
    """Peak of a process that imports numpy and the runtime, and nothing else."""
    opened: int | None
    """Peak of a process that opens the model, and does nothing else; None in C++."""


def main(out: Annotated[Path, typer.Option(help="folder for memory.md and memory.json")] = DOCS) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        rows = measure(Path(scratch))
    document = {"context": context(), "rows": [asdict(row) for row in rows]}
    text = table(rows)
    typer.echo(text)
    out.mkdir(parents=True, exist_ok=True)
    (out / "memory.json").write_text(json.dumps(document, indent=1) + "\n")
    (out / "memory.md").write_text(page(text, document["context"]))


def measure(scratch: Path) -> list[Row]:
    base = {target: child(IMPORT.format(module=module) + PEAK) for target, (_, module) in RUNTIMES.items()}
    options = dict(width=WIDTH, random_weights=True, input_size=(SIDE, SIDE))
    model = onenet.build("onenet-ed4", spatial=False, **options)
    rows = [literal(LITERAL_NAME, model, scratch, base["onnx"])]
    runner = compile_runner(scratch)
    image = np.random.default_rng(0).random((1, 3, SIDE, SIDE), np.float32)
    in_cpp = [row_in_cpp(runner, LITERAL_NAME, "onnx", "fp32", scratch / "literal.onnx", image, 1)]
    spatial = onenet.build("onenet-ed4", **options)
    rows.append(literal("the same with spatial convolution", spatial, scratch, base["onnx"]))
    photo = next(default_calibration().glob("*.jpg"))
    Image.open(photo).convert("RGB").resize((SIDE, SIDE)).save(scratch / "image.png")
    with quiet():
        lowered = onenet.lower(onenet.tile(model, TILE))
        quantized = onenet.calibrate(lowered, onenet.load_samples(default_calibration(), SIDE, SIDE, limit=2))
        for precision, source in (("fp32", lowered), ("int8", quantized)):
            for target, (runtime, _) in RUNTIMES.items():
                artifact = onenet.export(source, target=target, precision=precision, out=scratch)
                opened = child(OPEN.format(path=str(artifact.path)) + PEAK)
                peak = run_peak(artifact.path, scratch)
                rows.append(Row(f"onenet run, tiles of {TILE}", runtime, precision, peak, base[target], opened))
                tile = np.random.default_rng(0).random(open_artifact(artifact.path).inputs[0].shape, np.float32)
                in_cpp.append(row_in_cpp(runner, f"{TILES} tiles of {TILE}", target, precision, artifact.path, tile, TILES))
    return [*rows, *in_cpp]


def compile_runner(scratch: Path) -> Path:
    """The runner of phones, for this machine."""
    out = scratch / "runner"
    command = ["c++", *FLAGS, f"-I{include(scratch)}", str(SOURCE / "runner.cpp"), "-o", str(out), "-ldl", "-pthread"]
    subprocess.run(command, check=True)
    return out


def row_in_cpp(runner: Path, what: str, target: str, precision: str, model: Path, value: NDArray[np.float32], runs: int) -> Row:
    """``runs`` inferences in the runner, each of the same value of the input."""
    for folder in ("inputs", "outputs"):
        (model.parent / folder).mkdir(exist_ok=True)
    (model.parent / "inputs" / "names").write_text("image\n")
    (model.parent / "inputs" / "0").write_bytes(value.tobytes())
    options = {
        "runtime": "litert" if target == "tflite" else "onnxruntime",
        "library": Path(sysconfig.get_path("platlib")) / LIBRARIES[target],
        "model": model,
        "inputs": model.parent / "inputs",
        "outputs": model.parent / "outputs",
        **dict(threads=1, runs=runs, seconds=0, warmup_runs=1, warmup_seconds=0, deadline=300),
    }
    command = [str(runner), *(f"{name}={option}" for name, option in options.items())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # it ends with stdin
        assert process.stdout is not None
        found = json.loads(process.stdout.readline())
    return Row(what, f"{RUNTIMES[target][0]}, C++", precision, found["peak_bytes"], found["baseline_bytes"], None)


def literal(what: str, model: Model, scratch: Path, base: int) -> Row:
    """The module as it is, through torch.onnx, whole image."""
    path = str(scratch / "literal.onnx")
    with quiet():
        torch.onnx.export(model.module, model.example(), path, dynamo=True, external_data=False)
    opening = IMPORT.format(module="onnxruntime") + LITERAL.format(path=path)
    running = opening + LITERAL_RUN.replace("SIDE", str(SIDE)) + PEAK
    return Row(what, "onnxruntime", "fp32", child(running), base, child(opening + PEAK))


def child(code: str) -> int:
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1])


def run_peak(artifact: Path, scratch: Path) -> int:
    code = "from onenet.cli.app import main; main()"
    arguments = ["run", str(artifact), str(scratch / "image.png"), "--threads", "1", "--json"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True)
    document = json.loads(done.stdout)
    assert document["images"][0]["tiles"] == TILES
    return int(document["peak_memory_bytes"])


def context() -> dict[str, str]:
    packages = ("torch", "onnxruntime", "ai-edge-litert", "numpy")
    return {
        "machine": f"{platform.machine()} {platform.system()}",
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def table(rows: list[Row]) -> str:
    lines = ["| run | runtime | precision | peak | share | above import | share | for the image |"]
    lines.append("|---|---|---|--:|--:|--:|--:|--:|")
    reference = rows[0]
    for row in rows:
        above = row.peak - row.base
        image = "" if row.opened is None else f"{max(0, row.peak - row.opened) / 1e6:.0f} MB"
        lines.append(
            f"| {row.what} | {row.runtime} | {row.precision} | {row.peak / 1e6:.0f} MB | {share(row.peak, reference.peak)} "
            f"| {above / 1e6:.0f} MB | {share(above, reference.peak - reference.base)} | {image} |"
        )
    return "\n".join(lines)


def share(part: int, whole: int) -> str:
    return f"1/{whole / part:.1f}" if part <= whole else f"{part / whole:.1f}"


def page(text: str, found: dict[str, str]) -> str:
    versions = ", ".join(f"{name} {value}" for name, value in found.items())
    return (
        "# Peak memory\n\n"
        f"OneNet ed4 without spatial convolution, width {WIDTH} (the paper's), random weights, one image of {SIDE}x{SIDE}, one "
        "thread,\na process of its own for each row. Peak is the kernel's VmHWM; *above import* leaves out what Python, numpy "
        "and the runtime\ntake before a model is opened, *for the image* the opened model as well. "
        "Shares are of the first row: the same network.\nThe second is the paper's default, which has exact full-width strips "
        "only.\n\nC++ is the runner of `make native`, compiled for this machine. It decodes no picture, which would hold 1 MB "
        "as\nbytes with its labels, and it runs more than once, for which onnxruntime's arena takes more: its literal row is "
        "larger\nthan Python's. Regenerate with `python -m bench.memory`.\n\n"
        f"{text}\n\nMeasured with {versions}.\n"
    )


if __name__ == "__main__":
    typer.run(main)
