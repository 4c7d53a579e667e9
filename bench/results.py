"""Regenerate the accuracy table: size and quality of every artifact of every shipped model, on images with masks.

    python bench/results.py                      # on the 8 shipped evaluation images
    python bench/results.py --evaluation DIR     # on any folder with images/ and labels/
    python bench/results.py --only lsnet         # one model anew; the others as they were kept, on the same images

Writes docs/benchmarks/accuracy.json (with the SHA-256 of every image), docs/benchmarks/accuracy.md, and README.md's table of
OneNets between the lines ``<!-- accuracy:begin -->`` and ``<!-- accuracy:end -->``. Quality is the artifact's in the runtime of
this machine, against the float model and against the masks; int8 is calibrated on the shipped images.
"""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

import onenet
from onenet.base import metrics
from onenet.base.files import publish, temporary_folder
from onenet.base.quiet import quiet
from onenet.calibration.outputs import float_outputs
from onenet.calibration.quantized import QuantizedModel
from onenet.calibration.samples import LabelledImages, Samples, default_calibration, default_evaluation
from onenet.cli.shared import one_line_errors
from onenet.errors import OneNetError, RequestError
from onenet.exporters.results import ExportedArtifact
from onenet.model import Model
from onenet.models import REGISTRY
from onenet.targets import PRECISIONS, TARGETS, pairs
from onenet.tasks.segmentation import confidence_of, labels_of

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- accuracy:begin -->", "<!-- accuracy:end -->"

HEAD = """# Accuracy of the shipped models

Written by `python bench/results.py`; do not edit. Everything is in [accuracy.json](accuracy.json).
"""
DEFINITIONS = """## How to read it

* **SQNR** and **labels** compare the artifact with the float model: signal to noise over all output values, and the share
  of pixels with the same class.
* **mIoU** and **Dice** are taken over all pixels of the set, then averaged over the classes, background included.
* **mAP@0.5** is COCO's average precision (101 recalls) at an IoU of 0.5, averaged over the classes, background included. The
  pixels predicted as one class in one image are one detection, scored by their mean probability, and the true pixels of
  that class the one region it can find. The paper does not define its instances, so this number is not comparable with its
  tables; `onenet.base.metrics.AveragePrecision` has the details.
* **runtime** computed the outputs. An evaluator shows the arithmetic of a Core ML package, not what Apple's compiler makes
  of it.
"""


@one_line_errors
def main(
    evaluation: Annotated[Path | None, typer.Option(help="folder with images/ and labels/")] = None,
    only: Annotated[str, typer.Option(help="names of models, with commas; the others stay as they were kept")] = "",
    out: Annotated[Path, typer.Option(help="folder for accuracy.json and accuracy.md")] = ROOT / "docs" / "benchmarks",
    readme: Annotated[Path, typer.Option(help="file whose table is replaced")] = ROOT / "README.md",
) -> None:
    between_markers(readme.read_text(), "")  # refuse before the work, which takes minutes
    document = measure(evaluation or default_evaluation(), only.split(",") if only else shipped())
    if only:
        document = among(json.loads((out / "accuracy.json").read_text()), document)
    with temporary_folder(out) as folder:
        (folder / "accuracy.json").write_text(json.dumps(document, indent=1) + "\n")
        (folder / "accuracy.md").write_text(markdown(document))
        (folder / "README.md").write_text(between_markers(readme.read_text(), readme_text(document)))
        for name in ("accuracy.json", "accuracy.md"):
            publish(folder / name, out / name)
        publish(folder / "README.md", readme)


def between_markers(text: str, content: str) -> str:
    """``text`` with ``content`` between its two markers.

    Raises:
        RequestError: a marker is missing, there are two of one, or they are in the wrong order.
    """
    head, begin, rest = text.partition(f"{BEGIN}\n")
    _, end, tail = rest.partition(f"{END}\n")
    if not begin or not end or BEGIN in rest or END in head + tail:
        raise RequestError(f"the table has no place: the file needs one line {BEGIN} and after it one line {END}")
    return head + begin + content + end + tail


# --- measuring ------------------------------------------------------------


def shipped() -> list[str]:
    """The models that ship trained and give classes of pixels: masks can tell how good they are."""
    names = [entry.name for entry in REGISTRY.values() if entry.weights is not None]
    return [name for name in names if onenet.build(name).spec.task == "segmentation"]


def among(kept: dict[str, Any], measured: dict[str, Any]) -> dict[str, Any]:
    """What was kept, with the models that were measured now in their places.

    Raises:
        RequestError: both were measured on other images.
    """
    for key in ("evaluation", "calibration"):
        if kept[key]["digest"] != measured[key]["digest"]:
            raise RequestError(f"what is kept was measured on other {key} images ({kept[key]['name']}); leave --only out")
    places = {name: place for place, name in enumerate(REGISTRY)}
    models = {model["name"]: model for model in (*kept["models"], *measured["models"])}
    return {**measured, "models": sorted(models.values(), key=lambda model: places.get(model["name"], len(places)))}


def measure(folder: Path, names: Sequence[str]) -> dict[str, Any]:
    """Everything that the tables show, of some shipped models."""
    models = [onenet.build(name) for name in names]
    sizes = {model.image_size for model in models}
    if len(sizes) != 1:
        raise RequestError(f"the shipped models take images of {sorted(sizes)}; one table needs one size")
    height, width = sizes.pop()
    images = onenet.load_labelled(folder, height, width)
    samples = onenet.load_samples(default_calibration(), height, width)
    shared = set(images.samples.ids) & set(samples.ids)
    if shared:
        raise RequestError(f"{len(shared)} of the evaluation images are calibration images; score on others")
    return {
        "schema": 1,
        "evaluation": described(images.samples),
        "calibration": described(samples),
        "models": [measure_model(model, images, samples) for model in models],
    }


def described(samples: Samples) -> dict[str, Any]:
    """The images by name and SHA-256, and one digest of the set: SHA-256 of the sorted ids, one a line."""
    digest = hashlib.sha256("".join(f"{each}\n" for each in sorted(samples.ids)).encode()).hexdigest()
    ids = dict(zip(samples.files, samples.ids, strict=True))
    return {"name": samples.name, "images": len(samples), "digest": digest, "ids": ids, "skipped": list(samples.skipped)}


def measure_model(model: Model, images: LabelledImages, samples: Samples) -> dict[str, Any]:
    with quiet():
        quantized = onenet.calibrate(onenet.lower(model), samples)
    with tempfile.TemporaryDirectory() as scratch:
        rows = [measure_row(quantized, t, p, images, Path(scratch)) for t, p in pairs()]
    return {
        "name": model.spec.name,
        "parameters": model.spec.source["parameters"],
        "calibration": quantized.record.id,
        "float": float_scores(model, images),
        "artifacts": rows,
    }


def float_scores(model: Model, images: LabelledImages) -> dict[str, Any]:
    """The float model against the masks: means over the classes, and each class."""
    role, names = model.spec.outputs[0].role, [c.name for c in model.spec.classes]
    outputs = float_outputs(model, images.samples.arrays)
    labels = labels_of(outputs, role)
    table, precision = metrics.confusion(images.labels, labels, len(names)), metrics.AveragePrecision(len(names))
    precision.add(images.labels, labels, confidence_of(outputs, role))
    columns = {"iou": metrics.iou(table), "dice": metrics.dice(table), "ap50": precision.per_class()}
    classes = [{"name": name, **{key: rounded(v[k]) for key, v in columns.items()}} for k, name in enumerate(names)]
    means = {"miou": metrics.mean_iou(table), "dice": metrics.mean_dice(table), "map50": precision.mean()}
    return {**{key: rounded(value) for key, value in means.items()}, "classes": classes}


def measure_row(model: QuantizedModel, target: str, precision: str, images: LabelledImages, scratch: Path) -> dict[str, Any]:
    """One artifact's size and quality; ``reason`` where there is none."""
    typer.echo(f"{model.spec.name} {target} {precision}")
    row: dict[str, Any] = {"target": target, "precision": precision, "bytes": None, "quality": None, "runtime": None}
    try:
        artifact = onenet.export(model, target=target, precision=precision, out=scratch, evaluation=images)
    except OneNetError as error:
        return {**row, "reason": str(error)}
    row |= {"bytes": artifact.bytes, "runtime": artifact.verification.runtime.as_dict(), "reason": None}
    if artifact.quality is None:
        return {**row, "reason": reason_of(artifact)}
    return {**row, "quality": artifact.quality.as_dict()}


def reason_of(artifact: ExportedArtifact) -> str:
    """Why an artifact was not run: the detail of the check that could not be made."""
    checks = artifact.verification.checks if artifact.verification else ()
    return next((c.detail for c in checks if c.passed is None and c.name.startswith("values")), "not run")


def rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 6)


# --- writing --------------------------------------------------------------

Cell = Callable[[dict[str, Any]], str]
"""One figure of an artifact with a quality."""


def score(name: str) -> Cell:
    return lambda row: f"{row['quality'][name]:.4f}"


def labels_cell(row: dict[str, Any]) -> str:
    """Rounded down: 100 % means that not one pixel differs."""
    return f"{math.floor(row['quality']['label_agreement'] * 1e4) / 100:.2f} %"


def sqnr_cell(row: dict[str, Any]) -> str:
    return f"{row['quality']['sqnr_db']:.1f}"


def size_cell(row: dict[str, Any]) -> str:
    return f"{row['bytes'] / 1e6:.2f}"


def readme_text(document: dict[str, Any]) -> str:
    """The table and what it was measured on, narrow enough for a page: a column per precision, three targets in a cell."""
    lines = ["| | " + " | ".join(PRECISIONS) + " |", "|---" + "|--:" * len(PRECISIONS) + "|"]
    for model in document["models"]:
        if model["name"] in REGISTRY and not model["name"].startswith("onenet-"):
            continue  # accuracy.md has all
        floats = model["float"]
        rows: list[tuple[str, str, Cell]] = [
            (f"**{model['name']}**: {' / '.join(each.title for each in TARGETS.cards().values())}, MB", "bytes", size_cell),
            (f"mIoU (float model {floats['miou']:.4f})", "quality", score("miou")),
            (f"Dice (float model {floats['dice']:.4f})", "quality", score("dice")),
            (f"mAP@0.5 (float model {floats['map50']:.4f})", "quality", score("map50")),
            ("labels equal to the float model's", "quality", labels_cell),
            ("SQNR against the float model, dB", "quality", sqnr_cell),
        ]
        for title, needs, cell in rows:
            columns = [together(model["artifacts"], precision, needs, cell) for precision in PRECISIONS]
            lines.append(f"| {title} | " + " | ".join(columns) + " |")
    evaluation, calibration = document["evaluation"], document["calibration"]
    more = "[docs/benchmarks/accuracy.md](docs/benchmarks/accuracy.md)"
    set_text = f"{evaluation['images']} images (set `{evaluation['digest'][:12]}`)"
    others = f"none of them among the {calibration['images']} calibration images"
    lines += ["", f"{set_text}, {others}.", f"All figures, the images' ids and what is missing: {more}."]
    return "\n".join(lines) + "\n"


def together(artifacts: Sequence[dict[str, Any]], precision: str, needs: str, cell: Cell) -> str:
    """The three targets' figures, once where they are the same; "-" where there is none."""
    cells = [cell(row) if row[needs] else "–" for row in artifacts if row["precision"] == precision]
    return cells[0] if len(set(cells)) == 1 else " / ".join(cells)


def markdown(document: dict[str, Any]) -> str:
    parts = [HEAD, images_text(document)]
    for model in document["models"]:
        parts += [f"## {model['name']}\n", "\n".join(model_lines(model)) + "\n"]
    return "\n".join([*parts, DEFINITIONS])


def images_text(document: dict[str, Any]) -> str:
    lines = ["| | images | set |", "|---|--:|---|"]
    for key in ("evaluation", "calibration"):
        each = document[key]
        lines.append(f"| {key} | {each['images']} | `{each['digest']}` |")
    return (
        "\n".join(lines)
        + "\n\nA set's name is the SHA-256 of its images' sorted SHA-256s, one a line; no image is in both sets.\n"
    )


def model_lines(model: dict[str, Any]) -> Iterator[str]:
    floats = model["float"]
    yield f"{model['parameters'] / 1e6:.2f} M parameters, calibration {model['calibration']}.\n"
    yield "| | mIoU, IoU | Dice | mAP@0.5, AP |\n|---|--:|--:|--:|"
    yield f"| float model | {floats['miou']:.4f} | {floats['dice']:.4f} | {floats['map50']:.4f} |"
    for each in floats["classes"]:
        cells = (f"{each[k]:.4f}" if each[k] is not None else "–" for k in ("iou", "dice", "ap50"))
        yield f"| {each['name']} | {' | '.join(cells)} |"
    yield "\n| target | precision | MB | SQNR, dB | labels | mIoU | Dice | mAP@0.5 | runtime |"
    yield "|---|---|--:|--:|--:|--:|--:|--:|---|"
    for row in model["artifacts"]:
        yield f"| {row['target']} | {row['precision']} | {' | '.join(row_cells(row))} |"
    reasons = [f"* {row['target']} {row['precision']}: {row['reason']}" for row in model["artifacts"] if row["reason"]]
    if reasons:
        yield "\nNot measured:\n\n" + "\n".join(reasons)


def row_cells(row: dict[str, Any]) -> list[str]:
    size = size_cell(row) if row["bytes"] else "–"
    if row["quality"] is None:
        return [size, *["–"] * 6]
    quality = [cell(row) for cell in (sqnr_cell, labels_cell, score("miou"), score("dice"), score("map50"))]
    runtime = row["runtime"]
    return [size, *quality, f"{runtime['name']} {runtime['version']}, {runtime['kernels']}"]


if __name__ == "__main__":
    typer.run(main)
