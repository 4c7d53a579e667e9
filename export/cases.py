"""Golden cases for apps: pictures, and what each step of an app must make of them; with a checker for each language.

An app team proves its own preprocessing, inference and postprocessing with them. What is written is text and raw bytes, which
``checkers/*`` read without a library; ``checkers/README.md`` says what each file is.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from onenet.base.arrays import Array
from onenet.base.files import check_folder, publish, sha256_of, temporary_folder
from onenet.base.images import Pixels, to_input
from onenet.base.quiet import quiet
from onenet.base.text import shape_text
from onenet.base.tiles import make_grid
from onenet.calibration.inputs import takes_one_image
from onenet.calibration.samples import LabelledImages, Samples
from onenet.errors import RequestError
from onenet.model import Model
from onenet.runtimes.artifact import Artifact, open_artifact
from onenet.runtimes.run import image_model
from onenet.tasks import task_of
from onenet.tasks.image import ImageModel, Plan
from onenet.tasks.segmentation import segment

CHECKERS = Path(__file__).parent / "checkers"
SQNR_DB = {"fp32": 40, "w8": 40, "fp16": 30, "int8": 20}
"""What an output must keep against ours. Kernels of other machines round in another way; wrong code keeps less than 15."""
LABELS = 0.999
"""Share of labels that must be equal."""
STEP = {"float32": 0.004}
"""What an input's value may differ by: one step of 255. Of integers, one."""


def check_cases(model: Model, out: Path) -> None:
    """Refuse what ``write_cases`` could not write, before any work.

    Raises:
        RequestError: the network takes anything but one image, or ``out`` cannot be written.
    """
    feed = model.spec.inputs[0]
    if not takes_one_image(model.spec) or feed.shape[1] not in (1, 3):
        takes = " and ".join(f"{each.name} {shape_text(each.shape)}" for each in model.spec.inputs)
        raise RequestError(f"--tests {out} is for networks of one RGB or grey image; {model.spec.name} takes {takes}")
    check_folder(out)


def write_cases(path: Path, evaluation: LabelledImages | Samples, out: Path) -> Path:
    """Write the cases of an artifact into ``out/ARTIFACT/``, and the checkers beside it.

    Args:
        path: of an artifact whose network passed ``check_cases``.
        evaluation: whose first images become pictures.
        out: a folder, made where it is missing; what an earlier call wrote for the artifact is replaced.

    Returns:
        The artifact's folder.

    Raises:
        RequestError: this machine cannot run the file, or ``out`` cannot be written.
    """
    artifact = open_here(path)
    model = image_model(artifact)
    images = evaluation.samples if isinstance(evaluation, LabelledImages) else evaluation
    cases = pictures(images.arrays, model.size)
    labelled = gives_labels(model)
    with temporary_folder(out) as scratch:
        folder = scratch / path.name
        folder.mkdir()
        for name, pixels in cases.items():
            write_case(folder, name, pixels, artifact, model if labelled else None)
        (folder / "cases.txt").write_text(table(artifact, cases, labelled), encoding="utf-8")
        for checker in sorted(CHECKERS.iterdir()):
            shutil.copy(checker, scratch)
            publish(scratch / checker.name, out / checker.name)
        publish(folder, out / path.name)
    return out / path.name


def open_here(path: Path) -> Artifact:
    """An artifact that this machine runs, in exact arithmetic where its int8 kernels would saturate."""
    with quiet():
        artifact = open_artifact(path)
        if not artifact.session.runs_here:
            raise RequestError(f"tests of {path.name} hold what it computes, and it cannot be run here")
        return open_artifact(path, exact_int8=True) if artifact.session.may_saturate else artifact


def gives_labels(model: ImageModel) -> bool:
    """Whether it gives a class for each pixel of the image."""
    try:
        task_of("segmentation").check_runs(model)
    except RequestError:
        return False
    return True


def pictures(images: Array, size: tuple[int, int]) -> dict[str, Pixels]:
    """Pictures (H, W, 3) uint8 by the names of their cases, of images (N, C, H, W) in [0, 1] and a model's height and width.

    One as large as the model's input, and two of other shapes: 3/2 and 5/4 of its height and width, and 2/3 and 1/2.
    """
    whole, other = (np.rint(images[at % len(images)].transpose(1, 2, 0) * 255).astype(np.uint8) for at in (0, 1))
    whole, other = (np.repeat(each, 3 // each.shape[2], axis=2) for each in (whole, other))
    height, width = size
    grown = np.pad(other, ((0, height), (0, width), (0, 0)), mode="symmetric")  # its mirror image goes on beside it
    return {
        "whole": np.ascontiguousarray(whole[:height, :width]),
        "larger": np.ascontiguousarray(grown[: height * 3 // 2 + 1, : width * 5 // 4 + 1]),
        "smaller": np.ascontiguousarray(grown[: max(height * 2 // 3, 1), : max(width // 2, 1)]),
    }


def write_case(folder: Path, name: str, pixels: Pixels, artifact: Artifact, labelled: ImageModel | None) -> None:
    """The files of one case; with labels where ``labelled`` is the model."""
    feed = artifact.inputs[0]
    batch, channels, height, width = feed.canonical().shape
    value = to_input(pixels, height, width, channels)
    stored = artifact.stored({feed.name: np.repeat(value[None], batch, axis=0)})
    results = artifact.session.run(stored)
    write_values(folder / f"{name}.rgb.bin", pixels)
    Image.fromarray(pixels).save(folder / f"{name}.png")
    write_values(folder / f"{name}.input.bin", stored[feed.name])
    for place, output in enumerate(artifact.outputs):
        write_values(folder / f"{name}.output{place}.bin", results[output.name])
    if labelled is not None:
        plan = Plan(make_grid(labelled.size, labelled.size, None), resized=pixels.shape[:2] != labelled.size)
        write_values(folder / f"{name}.labels.bin", segment(labelled, pixels, plan))


def write_values(path: Path, values: Array) -> None:
    """The values alone, little-endian, in their order."""
    path.write_bytes(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())


def table(artifact: Artifact, cases: dict[str, Pixels], labelled: bool) -> str:
    """``cases.txt``: a line for each tensor and each case, words between single spaces; the last word may be a name."""
    feed, asked = artifact.inputs[0], SQNR_DB[artifact.manifest.precision]
    lines = [
        "# What each step of an app must give; README.md beside this folder says how to use it.",
        f"artifact {sha256_of(artifact.path)} {artifact.path.name}",
        f"input {feed.dtype} {STEP.get(feed.dtype, 1)} {feed.name}",
        *(f"output {each.dtype} {asked} {each.name}" for each in artifact.outputs),
        *([f"labels {LABELS}"] if labelled else []),
        *(f"case {name} {pixels.shape[1]} {pixels.shape[0]}" for name, pixels in cases.items()),
    ]
    return "\n".join(lines) + "\n"
