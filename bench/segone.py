"""What int8 costs SegOne over its steps, and its picture by prompt, with the shipped weights.

python -m bench.segone --evaluation DIR    # writes docs/benchmarks/segone.md and docs/segone.png; some minutes

A sampler feeds each step what the one before gave, so an error of int8 may grow. All samplers begin with the same noise.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import onenet
from bench.networks import ROOT
from onenet.base.arrays import Array
from onenet.base.metrics import confusion, iou, sqnr_db
from onenet.base.quiet import quiet
from onenet.calibration.quantized import QuantizedModel
from onenet.calibration.samples import LabelledImages, default_calibration, default_evaluation
from onenet.cli.shared import one_line_errors
from onenet.exporters.steps import step_of, stream_steps
from onenet.model import Model
from onenet.runtimes.artifact import open_artifact
from onenet.runtimes.sampler import Sampler, Step, prompts_in
from onenet.targets import TARGETS

SIZE = (256, 256)
PROMPT, FLOAT, SIMULATED = "nuclei", "float, PyTorch", "int8, simulated"
SHOWN = (1, 3, 6)
"""Of the shipped evaluation images, in the picture."""
TEXT = """# SegOne in int8, step by step

Written by `python -m bench.segone`; do not edit. The shipped `segone`, the prompt `{prompt}`, {images} validation images
of 256x256. A sampler feeds each step what the step before gave, all begin with the same noise. **dB** is the SQNR of a
step's estimate against the float model's estimate at the same step; **IoU** is that of its mask against the true one.
Core ML runs in our evaluator.
"""


@one_line_errors
def main(
    evaluation: Annotated[Path | None, typer.Option(help="folder with images/ and labels/")] = None,
    limit: Annotated[int, typer.Option(min=1, help="images")] = 2,
    steps: Annotated[str, typer.Option(help="numbers of steps, with commas")] = "4",
    docs: Annotated[Path, typer.Option(help="folder for segone.png and benchmarks/segone.md")] = ROOT / "docs",
) -> None:
    """Sample with the float model, int8's simulation, and int8 in every runtime."""
    warnings.simplefilter("ignore")
    images = onenet.load_labelled(evaluation or default_evaluation(), *SIZE, limit=limit)
    parts = [TEXT.format(prompt=PROMPT, images=len(images.labels))]
    with tempfile.TemporaryDirectory() as folder:
        with quiet():
            quantized = onenet.calibrate(
                onenet.lower(onenet.build("segone")), stream_steps(onenet.build("segone"), default_calibration())
            )
            samplers = stepping(quantized, Path(folder))
        for count in map(int, steps.split(",")):
            found = {name: sampled(quantized, step, images, count) for name, step in samplers.items()}
            parts += [f"## {count} steps\n", table(found, images.labels), ""]
            typer.echo("\n".join(parts[-2:]))
        draw(quantized.model, docs / "segone.png")
    (docs / "benchmarks" / "segone.md").write_text("\n".join(parts))


def stepping(quantized: QuantizedModel, folder: Path) -> dict[str, Step]:
    """What runs a step: the float model, the simulation of int8, and every target's int8 artifact."""
    found = {FLOAT: step_of(quantized.model), SIMULATED: step_of(replace(quantized.model, module=quantized.reference))}
    for name, target in TARGETS.cards().items():
        made = onenet.export(quantized, target=name, precision="int8", out=folder, verify=False)
        found[f"int8, {target.title}"] = open_artifact(made.path, 1).run
    return found


def sampled(quantized: QuantizedModel, step: Step, images: LabelledImages, steps: int) -> Array:
    """Estimates (steps, images, H, W) of one sampler."""
    spec = quantized.model.spec
    sampler, text = Sampler(step, spec.inputs, steps), prompts_in(spec.source, spec.name)[PROMPT]
    masks = [[mask[0, 0] for mask in sampler.masks(image[None], text)] for image in images.samples.arrays]
    return np.asarray(masks).swapaxes(0, 1)


def table(found: Mapping[str, Array], truth: Array) -> str:
    """A row for each step, two columns for each sampler."""
    others = [name for name in found if name != FLOAT]
    lines = [
        "| step | float IoU | " + " | ".join(f"{name}, dB | IoU" for name in others) + " |",
        "|--:|--:|" + "--:|--:|" * len(others),
    ]
    for step, exact in enumerate(found[FLOAT]):
        cells = [f"{step + 1} | {overlap(exact, truth):.4f}"]
        cells += [f"{sqnr_db(exact, found[name][step]):.1f} | {overlap(found[name][step], truth):.4f}" for name in others]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def overlap(estimates: Array, truth: Array) -> float:
    """IoU of the masks."""
    return float(iou(confusion(truth, (estimates > 0).astype(np.uint8), 2))[1])


def draw(model: Model, path: Path) -> None:
    """Pictures of nobody's training, and the mask of every prompt by the float model in 4 steps."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    labelled = onenet.load_labelled(default_evaluation(), *SIZE)
    spec = model.spec
    texts = prompts_in(spec.source, spec.name)
    sampler = Sampler(step_of(model), spec.inputs)
    titles = ["image", "true nuclei", *(f"“{text}”" for text in texts)]
    figure, axes = pyplot.subplots(len(SHOWN), len(titles), figsize=(8, 1.72 * len(SHOWN)), dpi=100, layout="constrained")
    for line, place in zip(axes, SHOWN, strict=True):
        image = labelled.samples.arrays[place]
        masks = [sampler.masks(image[None], text)[-1][0, 0] > 0 for text in texts.values()]
        show(line, [image.transpose(1, 2, 0), labelled.labels[place] > 0, *masks])
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=9)
    figure.savefig(path, metadata={"Software": None})
    pyplot.close(figure)


def show(axes: Sequence[Any], pictures: Sequence[Array]) -> None:
    """One row of pictures and masks."""
    for axis, picture in zip(axes, pictures, strict=True):
        axis.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axis.set_axis_off()


if __name__ == "__main__":
    typer.run(main)
