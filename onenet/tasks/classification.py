"""Image classification: one image to one class."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from onenet.base.arrays import Array, run_all
from onenet.base.files import publish, temporary_folder
from onenet.base.metrics import label_agreement
from onenet.base.text import shape_text
from onenet.base.tiles import make_grid
from onenet.errors import RequestError
from onenet.spec import ClassSpec, Role, TensorSpec, numbered_classes
from onenet.tasks import Labels, Metric, PictureRows, Task
from onenet.tasks.image import Fit, ImageModel, Plan, Prediction, check_fit

if TYPE_CHECKING:
    from onenet.base.images import Pixels

TOP = 5
"""Classes that count for a top-5 figure, and that ``onenet run`` prints."""


def probabilities_of(output: Array, role: Role, classes: int) -> Array:
    """(N, K) probabilities of an output; 1 for the label where it holds labels only."""
    if role == "probabilities":
        return output
    if role == "labels":
        return np.eye(classes, dtype=np.float32)[output.astype(np.int64)]
    powers = np.exp(output - output.max(1, keepdims=True), dtype=np.float32)
    result: Array = powers / powers.sum(1, keepdims=True)
    return result


def ranked(values: Array) -> Array:
    """(N, K) class indices, the largest value first; of equal values the lower index."""
    return np.argsort(-values, 1, kind="stable")


def in_top(values: Array, labels: Array) -> float:
    """Share of rows of ``values`` (N, K) whose label (N,) is among the five largest."""
    return float((ranked(values)[:, :TOP] == labels[:, None]).any(1).mean())


@dataclass(frozen=True)
class Ranking(Prediction):
    """Classes of one image, likeliest first."""

    names: tuple[str, ...]
    indices: tuple[int, ...]
    probabilities: tuple[float, ...]
    """1 and 0 where the network gives labels only."""

    def rows(self) -> list[dict[str, object]]:
        """One entry for each class: its index, name and probability."""
        columns = zip(self.indices, self.names, self.probabilities)
        return [{"class": index, "name": name, "probability": round(value, 6)} for index, name, value in columns]

    def write(self, path: Path | str) -> None:
        """JSON: ``{"classes": [{"class": 3, "name": "cat", "probability": 0.93}, ...]}``, all classes."""
        file = Path(path)
        with temporary_folder(file.parent) as folder:
            (folder / file.name).write_text(json.dumps({"classes": self.rows()}, indent=1) + "\n")
            publish(folder / file.name, file)

    def as_dict(self) -> dict[str, object]:
        """The likeliest five."""
        return {"top": self.rows()[:TOP]}

    def lines(self) -> tuple[str, ...]:
        """``93.1 %  cat``, five of them."""
        return tuple(f"{100 * p:5.1f} %  {name}" for name, p in list(zip(self.names, self.probabilities))[:TOP])


class Classification(Task):
    """One 2-D output (N, classes)."""

    name = title = "classification"
    order = 20
    output_roles = ("logits", "probabilities", "labels")
    metrics = (
        Metric("top1", "top-1", headline=True),
        Metric("top5", "top-5"),
        Metric("top5_agreement", "same class in top 5", needs_truth=False),
    )
    agree_text = "top-1 classes agree on"
    agree_unit = "images"
    checks_labels = True
    labelled_form = "one sub-folder for each class"
    suffix, file_key = ".classes.json", "classes"
    run_help = "Classification prints the five likeliest classes and writes NAME.classes.json with all of them."

    def signature_of(self, outputs: Sequence[tuple[tuple[int, ...], str]]) -> tuple[TensorSpec, ...] | None:
        """One (N, K) output of at least two values an image holds class logits."""
        if len(outputs) != 1 or len(outputs[0][0]) != 2 or outputs[0][0][1] < 2 or not outputs[0][1].startswith("float"):
            return None
        return (TensorSpec("logits", "logits", outputs[0][0], "NC", outputs[0][1]),)

    def with_role(self, logits: TensorSpec, role: Role) -> TensorSpec:
        """Probabilities keep the shape; labels are int32 (N,)."""
        if role == "probabilities":
            return dataclasses.replace(logits, name=role, role=role, value_range=(0.0, 1.0))
        return dataclasses.replace(logits, name=role, role=role, shape=logits.shape[:1], layout="other", dtype="int32")

    def labels(self, output: Array, role: Role) -> Array:
        """(N,) of (N, K)."""
        return output.astype(np.int64) if role == "labels" else output.argmax(1)

    def agreement(self, reference: Array, artifact: Array, role: Role, margin: float = 0.0) -> float | None:
        """Share of images with the same first class.

        One image is one label, so ties count: the artifact's class is right where the reference's value for it lies within
        ``margin`` of the reference's largest.
        """
        if role == "labels":
            return label_agreement(reference, artifact)
        if reference.ndim != 2 or reference.shape[1] < 2 or reference.shape != artifact.shape:
            return None
        chosen = np.take_along_axis(reference, artifact.argmax(1)[:, None], 1)[:, 0]
        return float((chosen >= reference.max(1) - margin).mean())

    def compare(self, reference: Array, artifact: Array, role: Role) -> dict[str, float]:
        """``top5_agreement``: the float model's first class is among the artifact's first five, of more than five."""
        if role == "labels" or reference.ndim != 2 or reference.shape[1] <= TOP:
            return {}
        return {"top5_agreement": in_top(artifact, reference.argmax(1))}

    def score(self, output: Array, role: Role, truth: Array, classes: int) -> dict[str, float]:
        """``top1`` and, of more than five classes, ``top5`` accuracy against class indices (N,)."""
        scores = {"top1": label_agreement(truth.astype(np.int64), self.labels(output, role))}
        return scores if role == "labels" or classes <= TOP else {**scores, "top5": in_top(output, truth)}

    def is_labelled(self, folder: Path) -> bool:
        """Images lie in sub-folders, and none beside them."""
        from onenet.base.images import EXTENSIONS

        files = any(each.is_file() and each.suffix.lower() in EXTENSIONS for each in folder.iterdir())
        return bool(class_folders(folder)) and not files

    def open_labels(self, folder: Path, classes: Sequence[ClassSpec] = (), ignore_index: int | None = None) -> Labels:
        """Images of ``folder/CLASS/``; sub-folders are the model's class names, their numbers, or all of them in name order."""
        del ignore_index  # an image that is not scored is left out of the folder
        numbers = class_numbers(folder, class_folders(folder), classes)

        def read(image: Path, size: tuple[int, int], wanted: tuple[int, int]) -> Array:
            del size, wanted
            name = image.relative_to(folder).parts[0]
            if name not in numbers:
                raise RequestError(f"the image {image} lies in no folder of a class; expected {folder.name}/CLASS/{image.name}")
            return np.array(numbers[name])

        return Labels(folder, read)

    def draw(self, path: Path, rows: PictureRows) -> None:
        """Each image with bars for its likeliest classes, by the float model and by the artifact."""
        from onenet.tasks.bars import draw_bars

        count = len(rows.classes)
        reference, artifact = (probabilities_of(each, rows.role, count) for each in (rows.reference, rows.artifact))
        draw_bars(path, rows.images, rows.truth, reference, artifact, rows.classes, rows.title, rows.subtitle)

    def check_runs(self, model: ImageModel) -> None:
        """One image in; one value for each named class out, or a label."""
        model.check_one_image()
        output, classes = model.output, len(model.classes)
        axes = 1 if output.role == "labels" else 2
        fits = output.role in self.output_roles and len(output.shape) == axes and classes >= 2
        if not fits or (output.role != "labels" and output.shape[1] != classes):
            raise RequestError(
                f"{model.name} gives {output.role} {shape_text(output.shape)} and names {classes} classes; a classification "
                "needs logits, probabilities or labels of at least 2 classes, one for each"
            )

    def plan(self, model: ImageModel, size: tuple[int, int], fit: Fit = "auto") -> Plan:
        """The whole image at the model's size: a class is a property of all of it."""
        check_fit(fit)
        if fit == "tile" and size != model.size:
            raise RequestError(
                f"{model.name} gives one class for a whole image, so there are no tiles; leave --fit out and the image is "
                f"resized to {shape_text(model.size)}"
            )
        return Plan(make_grid(model.size, model.size, None), size != model.size)

    def predict(self, model: ImageModel, pixels: Pixels, plan: Plan, progress: Callable[[int], None] | None = None) -> Ranking:
        """All classes of the image, likeliest first."""
        from onenet.base.images import to_input

        batch, channels, height, width = model.feed.shape
        result = run_all(model.run, to_input(pixels, height, width, channels)[None], batch)
        if progress:
            progress(len(plan.grid))
        values = probabilities_of(result, model.output.role, len(model.classes))
        order = ranked(values)[0]
        names = tuple(model.classes[k].name for k in order)
        return Ranking(names, tuple(map(int, order)), tuple(float(values[0, k]) for k in order))


def class_folders(folder: Path) -> list[str]:
    """Names of the sub-folders, sorted; dot names are left out."""
    return sorted(each.name for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))


def class_numbers(folder: Path, names: Sequence[str], classes: Sequence[ClassSpec]) -> dict[str, int]:
    """Sub-folder -> class index.

    Raises:
        RequestError: the sub-folders are not the model's classes.
    """
    known = {each.name: k for k, each in enumerate(classes)}
    if known and set(names) <= set(known):
        return {name: known[name] for name in names}
    if all(name.isascii() and name.isdigit() for name in names) and (not known or max(map(int, names)) < len(known)):
        return {name: int(name) for name in names}
    unnamed = tuple(classes) == numbered_classes(len(classes))
    if not known or (unnamed and len(names) == len(known)):
        return {name: k for k, name in enumerate(names)}
    unknown = [name for name in names if name not in known]
    raise RequestError(
        f"{folder} has {len(names)} sub-folders, of which {', '.join(unknown[:3])} names no class; the model has {len(known)}: "
        f"{', '.join(list(known)[:8])}. Name each folder after its class, or by its number"
    )


TASK = Classification()
