"""Calibration: seconds per image and peak memory, ours against ai-edge-quantizer's on the same network.

    python -m bench.calibration       # prints the table and writes docs/benchmarks/calibration.md and calibration.json

The network is OneNet e4 at width 16, 256x256, with the paper's spatial convolution and without (the shipped form), random
weights. ai-edge-quantizer gets it twice: as litert-torch converts the published form, and as our fp32 TFLite file, lowered.
Each row is a process of its own with all threads; seconds are of calibration alone, without imports and without building the
network. Peak is the kernel's VmHWM at the end of the process, PyTorch included. Stop everything else first.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from bench.memory import DOCS, context
from onenet.base.host import peak_bytes
from onenet.model import Model

SIDE = 256
NETWORKS = {"without spatial convolution": False, "with spatial convolution": True}
OURS, THEIRS = 100, 4
"""Images; theirs takes too long for more, and its time is the same for each."""


@dataclass(frozen=True)
class Row:
    """One calibration."""

    network: str
    tool: str
    images: int
    seconds: float
    peak: int
    """Bytes."""

    @property
    def per_image(self) -> float:
        return self.seconds / self.images


def images(count: int) -> Iterator[NDArray[np.float32]]:
    """(3, H, W) in [0, 1]: the shipped calibration images, then the same mirrored and turned."""
    import onenet
    from onenet.calibration.samples import default_calibration

    arrays = onenet.load_samples(default_calibration(), SIDE, SIDE).arrays
    turned = (np.rot90(each, turns, (1, 2))[:, :, ::step] for turns in range(4) for step in (1, -1) for each in arrays)
    yield from (np.ascontiguousarray(each) for each in itertools.islice(turned, count))


def build(network: str) -> Model:
    import onenet

    return onenet.build("onenet-e4", width=16, random_weights=True, spatial=NETWORKS[network])


def ours(network: str, _: Path) -> Row:
    import onenet
    from onenet.base.quiet import quiet

    with quiet():
        model = onenet.lower(build(network))
        start = time.monotonic()
        onenet.calibrate(model, images(OURS))
    return Row(network, "onenet", OURS, time.monotonic() - start, peak_bytes() or 0)


def published(network: str, folder: Path) -> Row:
    feeds = [{"args_0": each[None]} for each in images(THEIRS)]
    return ai_edge_quantizer(network, "ai-edge-quantizer, published form", folder / "published.tflite", feeds)


def lowered(network: str, folder: Path) -> Row:
    feeds = [{"image": each.transpose(1, 2, 0)[None].copy()} for each in images(THEIRS)]
    return ai_edge_quantizer(network, "ai-edge-quantizer, lowered by onenet", folder / "onenet-e4_fp32.tflite", feeds)


def ai_edge_quantizer(network: str, tool_name: str, artifact: Path, feeds: list[dict[str, NDArray[np.float32]]]) -> Row:
    from ai_edge_quantizer import quantizer, recipe

    from onenet.base.quiet import quiet

    with quiet():
        tool = quantizer.Quantizer(str(artifact), recipe.static_wi8_ai8())
        start = time.monotonic()
        tool.calibrate({"serving_default": feeds})
    return Row(network, tool_name, len(feeds), time.monotonic() - start, peak_bytes() or 0)


TOOLS = {each.__name__: each for each in (ours, published, lowered)}


def convert(network: str, folder: Path) -> None:
    """The two TFLite files that ai-edge-quantizer calibrates."""
    import litert_torch

    import onenet
    from onenet.base.quiet import quiet

    with quiet():
        model = build(network)
        litert_torch.convert(model.module.eval(), model.example()).export(str(folder / "published.tflite"))
        onenet.export(onenet.lower(model), target="tflite", out=folder)


def child(network: str, tool: str, folder: Path) -> Row:
    command = [sys.executable, "-m", "bench.calibration", "--network", network, "--tool", tool, "--folder", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    return Row(**json.loads(done.stdout.splitlines()[-1]))


def main(
    out: Annotated[Path, typer.Option(help="folder for calibration.md and calibration.json")] = DOCS,
    network: Annotated[str, typer.Option(hidden=True)] = "",
    tool: Annotated[str | None, typer.Option(hidden=True)] = None,
    folder: Annotated[Path, typer.Option(hidden=True)] = Path(),
) -> None:
    if tool is not None:
        typer.echo(json.dumps(asdict(TOOLS[tool](network, folder))))
        return
    rows = []
    for each in NETWORKS:
        with tempfile.TemporaryDirectory() as scratch:
            convert(each, Path(scratch))
            rows += [child(each, name, Path(scratch)) for name in TOOLS]
    text = table(rows)
    typer.echo(text)
    found = {"machine": context(), "rows": [asdict(row) for row in rows]}
    out.mkdir(parents=True, exist_ok=True)
    (out / "calibration.json").write_text(json.dumps(found, indent=1) + "\n")
    note = " ".join((__doc__ or "").split("\n\n")[-1].split())
    versions = ", ".join(f"{name} {value}" for name, value in found["machine"].items())  # type: ignore[attr-defined]
    (out / "calibration.md").write_text(f"# Calibration\n\n{note}\n\n{text}\n\nMeasured with {versions}.\n")


def table(rows: list[Row]) -> str:
    lines = ["| network | tool | images | seconds | per image | ratio | peak |", "|---|---|--:|--:|--:|--:|--:|"]
    own = {row.network: row.per_image for row in rows if row.tool == "onenet"}
    for row in rows:
        ratio = f"{row.per_image / own[row.network]:.1f}"
        seconds = f"{row.seconds:.1f} | {row.per_image:.2f} s"
        lines.append(f"| {row.network} | {row.tool} | {row.images} | {seconds} | {ratio} | {row.peak / 1e6:.0f} MB |")
    return "\n".join(lines)


if __name__ == "__main__":
    typer.run(main)
