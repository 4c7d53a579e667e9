"""Regenerate the README's table of results: size and quality of every artifact of every shipped model.

    python bench/results.py                      # on the 8 shipped evaluation images
    python bench/results.py --evaluation DIR     # on any folder with images/ and labels/

Quality is the artifact's on the runtime of this machine, against the float model and against the masks, over all pixels.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

import onenet
from onenet.calibration.images import default_calibration, default_evaluation
from onenet.export.export import float_outputs
from onenet.export.pairs import PRECISIONS, SUFFIXES
from onenet.models import REGISTRY
from onenet.runtimes import metrics
from onenet.runtimes.parity import labels_of

HEAD = "| model | target | precision | size | SQNR | labels equal to float | mIoU |\n|---|---|---|--:|--:|--:|--:|"


def main(
    evaluation: Annotated[Path | None, typer.Option(help="folder with images/ and labels/")] = None,
    out: Annotated[Path | None, typer.Option(help="write the tables to this file instead of printing them")] = None,
) -> None:
    folder = evaluation or default_evaluation()
    lines = []
    with tempfile.TemporaryDirectory() as scratch:
        for entry in REGISTRY.values():
            if entry.weights is not None:
                lines += [*rows(entry.name, folder, Path(scratch)), ""]
    text = "\n".join(lines)
    if out is None:
        typer.echo(text)
    else:
        out.write_text(text)


def rows(name: str, folder: Path, scratch: Path) -> list[str]:
    model = onenet.build(name)
    lowered = onenet.lower(model)
    _, height, width = model.spec.inputs[0].shape[1:]
    quantized = onenet.calibrate(lowered, onenet.load_samples(default_calibration(), height, width))
    images = onenet.load_labelled(folder, height, width)
    labels = labels_of(float_outputs(model, images.samples.arrays), "logits")
    table = metrics.confusion(images.labels, labels, len(model.spec.classes))
    iou, dice = metrics.iou(table), metrics.dice(table)
    names = [c.name for c in model.spec.classes]
    per_class = ", ".join(f"{n} IoU {i:.4f}, Dice {d:.4f}" for n, i, d in zip(names, iou, dice, strict=True))
    lines = [
        f"`{name}`: {model.spec.source['parameters'] / 1e6:.2f} M parameters; float model on {len(labels)} images: "
        f"mIoU {metrics.mean_iou(table):.4f}, mean Dice {metrics.mean_dice(table):.4f} ({per_class})",
        "",
        HEAD,
    ]
    for target in SUFFIXES:
        for precision in PRECISIONS:
            source = quantized if precision == "int8" else lowered
            artifact = onenet.export(source, target=target, precision=precision, out=scratch, evaluation=images)
            size = f"{artifact.bytes / 1e6:.2f} MB"
            quality = artifact.quality
            cells = ["not run on Linux"] * 3
            if quality is not None:
                cells = [f"{quality.sqnr_db:.1f} dB", f"{quality.label_agreement:.2%}", f"{quality.miou:.4f}"]
            lines.append(f"| `{name}` | {target} | {precision} | {size} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    typer.run(main)
