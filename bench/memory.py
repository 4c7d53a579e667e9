"""Peak memory of a 512x512 image: the published network whole in onnxruntime against onenet's artifacts in tiles of 64.

    python -m bench.memory            # prints the table and writes docs/benchmarks/memory.md and memory.json

The network is OneNet ed4 without spatial convolution at the paper's width of 64, random weights. Each row is a process of
its own with one thread; its peak is the kernel's VmHWM at its end. "above import" leaves out what Python, numpy and the
runtime take before a model is opened; "for the image" leaves out the opened model as well.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import torch
import typer
from PIL import Image

import onenet
from onenet.calibration.samples import default_calibration
from onenet.model import Model
from onenet.quiet import quiet

SIDE, TILE, WIDTH = 512, 64, 64
RUNTIMES = {"onnx": ("onnxruntime", "onnxruntime"), "tflite": ("ai-edge-litert", "ai_edge_litert.interpreter")}
"""Target -> distribution and module of its runtime."""
DOCS = Path(__file__).parents[1] / "docs" / "benchmarks"

IMPORT = "import os; os.environ['ORT_DISABLE_TELEMETRY'] = '1'; import numpy, {module}; "
PEAK = "from onenet.runtimes.memory import peak_bytes; print(peak_bytes())"
OPEN = "from pathlib import Path; from onenet import command_run; artifact = command_run.open_artifact(Path({path!r}), 1); "
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
    opened: int
    """Peak of a process that opens the model, and does nothing else."""


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
    rows = [literal("as published, whole image", model, scratch, base["onnx"])]
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
    return rows


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
    code = "from onenet.cli import main; main()"
    arguments = ["run", str(artifact), str(scratch / "image.png"), "--threads", "1", "--json"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True)
    document = json.loads(done.stdout)
    assert document["images"][0]["tiles"] == (SIDE // TILE) ** 2
    return int(document["peak_memory_bytes"])


def context() -> dict[str, str]:
    packages = ("torch", "onnxruntime", "ai-edge-litert", "numpy")
    return {
        "machine": f"{platform.machine()} {platform.system()}",
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def table(rows: list[Row]) -> str:
    first = rows[0]
    lines = ["| run | runtime | precision | peak | share | above import | share | for the image |"]
    lines.append("|---|---|---|--:|--:|--:|--:|--:|")
    for row in rows:
        above, reference = row.peak - row.base, first.peak - first.base
        lines.append(
            f"| {row.what} | {row.runtime} | {row.precision} | {row.peak / 1e6:.0f} MB | {share(row.peak, first.peak)} "
            f"| {above / 1e6:.0f} MB | {share(above, reference)} | {max(0, row.peak - row.opened) / 1e6:.0f} MB |"
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
        "only.\nRegenerate with `python -m bench.memory`.\n\n"
        f"{text}\n\nMeasured with {versions}.\n"
    )


if __name__ == "__main__":
    typer.run(main)
