"""What LSNet's flow alignment costs, in three forms: shifts (as it is written), ``grid_sample``, and none at all.

python -m bench.flow    # writes docs/benchmarks/flow.md; five minutes on a quiet machine
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Annotated

import torch
import typer
from torch import Tensor, nn
from torch.nn import functional as F

import onenet
from bench.networks import ROOT
from bench.timing import in_turn
from onenet.base.quiet import quiet
from onenet.errors import OneNetError
from onenet.models.lsnet import FlowAlignment, LSNet, LSNetConfig
from onenet.runtimes.artifact import open_artifact
from tests.conftest import enliven, smooth_images

SIZE = (256, 256)
TARGETS, PRECISIONS = ("tflite", "onnx"), ("fp32", "int8")


class Sampled(FlowAlignment):
    """By one ``grid_sample`` of both axes."""

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        x = F.interpolate(coarse, scale_factor=2.0, mode="bilinear")
        both = F.relu(self.reduce(torch.cat([x, fine], 1)))
        across, down = (2 * torch.sigmoid(layer(both))[:, 0] - 1 for layer in (self.along_rows, self.along_columns))
        height, width = x.shape[2:]
        columns = (torch.arange(width) + across) * (2 / (width - 1)) - 1
        rows = (torch.arange(height)[:, None] + down) * (2 / (height - 1)) - 1
        return F.grid_sample(x, torch.stack([columns, rows], -1), align_corners=True)


class Unaligned(FlowAlignment):
    """Twice the size, and nothing else."""

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        del fine
        return F.interpolate(coarse, scale_factor=2.0, mode="bilinear")


FORMS: dict[str, type[FlowAlignment]] = {"shifts": FlowAlignment, "none": Unaligned, "grid_sample": Sampled}


def network(form: type[FlowAlignment]) -> nn.Module:
    """LSNet with random weights and its alignments in that form."""
    torch.manual_seed(0)
    net = LSNet(LSNetConfig()).eval()
    for module in net.modules():
        if isinstance(module, FlowAlignment):
            module.__class__ = form
    return enliven(net, torch.from_numpy(smooth_images(2, 3, *SIZE)))


def runs_of(form: type[FlowAlignment], folder: Path) -> dict[str, Callable[[], object] | str]:
    """``tflite fp32`` and so on -> what runs it once, or why it cannot be made."""
    found: dict[str, Callable[[], object] | str] = {}
    image = {"image": smooth_images(1, 3, *SIZE)}
    with quiet():
        lowered = onenet.lower(onenet.build(network(form), input_size=SIZE))
        quantized = onenet.calibrate(lowered, list(smooth_images(4, 3, *SIZE)))
        for target in TARGETS:
            for precision in PRECISIONS:
                source = quantized if precision == "int8" else lowered
                try:
                    made = onenet.export(source, target=target, precision=precision, out=folder, verify=False)
                    artifact = open_artifact(made.path, 1)
                    found[f"{target} {precision}"] = lambda artifact=artifact: artifact.run(image)
                except OneNetError as error:
                    found[f"{target} {precision}"] = str(error)
    return found


def main(
    rounds: Annotated[int, typer.Option(min=1, help="how often every form is asked")] = 15,
    out: Annotated[Path, typer.Option(help="the page")] = ROOT / "docs" / "benchmarks" / "flow.md",
) -> None:
    """Time LSNet with its flow alignment in each form: one thread, alternating."""
    warnings.simplefilter("ignore")
    folder = ROOT / "build" / "flow"
    made = {name: runs_of(form, folder / name) for name, form in FORMS.items()}
    times = in_turn({(name, kind): run for name, runs in made.items() for kind, run in runs.items() if callable(run)}, rounds)
    kinds = [f"{target} {precision}" for target in TARGETS for precision in PRECISIONS]
    rows = []
    for name in made:
        cells = [f"{1000 * median(times[name, kind]):.1f}" if (name, kind) in times else "not made" for kind in kinds]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    reasons = [f"* {name}, {kind}: {run}" for name, runs in made.items() for kind, run in runs.items() if not callable(run)]
    head = f"| form | {' | '.join(kinds)} |\n|---|{'--:|' * len(kinds)}"
    out.write_text("\n".join([TEXT, head, *rows, *(["", *reasons] if reasons else []), ""]))


TEXT = """# LSNet's flow alignment

Milliseconds of LSNet at its full width, 256x256, random weights, 12 classes, one thread, x86-64: processor time, the
median over alternating rounds. Made by `python -m bench.flow`. *shifts* is what LSNet has: two passes of at most one
pixel, in convolutions and products. *grid_sample* moves along both axes at once, as flow alignment is usually written.
*none* only resizes.
"""


if __name__ == "__main__":
    typer.run(main)
