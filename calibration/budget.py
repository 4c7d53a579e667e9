"""A budget: the least quality that int8 must keep, at the price of layers that stay in float."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from onenet.base.arrays import Array
from onenet.base.metrics import sqnr_db
from onenet.calibration.observe import Calibration
from onenet.calibration.outputs import float_outputs
from onenet.calibration.recipe import Recipe
from onenet.calibration.samples import LabelledImages, Samples
from onenet.calibration.search import Measure, SearchResult, search
from onenet.errors import RequestError
from onenet.model import Model
from onenet.tasks import task_of


@dataclass(frozen=True)
class Budget:
    """What quantization may cost."""

    measure: Measure
    """Quality of a quantized program, larger is better."""
    least: float
    """The smallest quality to accept."""

    def keep(self, calibration: Calibration, recipe: Recipe, progress: Callable[[int], None] | None = None) -> SearchResult:
        """Quantize with the fewest layers in float that hold the budget.

        Args:
            calibration: what ``observe`` returned.
            recipe: where to start; only its int8 layers are candidates.
            progress: called with 1 for each layer whose sensitivity was measured, if any has to be.

        Raises:
            CheckError: the budget cannot be met; names the best that was found.
        """
        return search(calibration, recipe, self.measure, self.least, progress)


def budget_of(
    model: Model, evaluation: Samples | LabelledImages | None, min_sqnr: float | None, max_drop: float | None
) -> Budget | None:
    """The budget of whichever figure is given; None where neither is. Arguments and errors as in the two below."""
    if min_sqnr is not None:
        return sqnr_budget(model, evaluation, min_sqnr)
    return None if max_drop is None else drop_budget(model, evaluation, max_drop)


def sqnr_budget(model: Model, evaluation: Samples | LabelledImages | None, least: float) -> Budget:
    """At least this SQNR, in dB, between the float network's first output and the quantized one's.

    Args:
        evaluation: images to measure on; labels are not needed.

    Raises:
        RequestError: there are no images, or the output is labels.
    """
    feeds = feeds_of(model, evaluation)
    if model.spec.outputs[0].role == "labels":
        raise RequestError("--min-sqnr compares logits or probabilities, the output is labels; use --max-drop")
    reference = float_outputs(model, feeds)
    return Budget(lambda program: sqnr_db(reference, float_outputs(model, feeds, program)), least)


def drop_budget(model: Model, evaluation: Samples | LabelledImages | None, points: float) -> Budget:
    """At most this drop of the task's main figure, mIoU for segmentation, in points (hundredths).

    Args:
        evaluation: images with the labels to score against.

    Raises:
        RequestError: there are no images with labels of the model's classes, or the task scores nothing.
    """
    feeds = feeds_of(model, evaluation)
    score = scorer(model, evaluation)
    reference = score(float_outputs(model, feeds))
    return Budget(lambda program: score(float_outputs(model, feeds, program)) - reference, -points)


def feeds_of(model: Model, evaluation: Samples | LabelledImages | None) -> dict[str, Array]:
    """The evaluation set by the names of the model's inputs. Raises RequestError where there is none."""
    if evaluation is None:
        arrays = ", ".join(tensor.name for tensor in model.spec.inputs)
        raise RequestError(f"a budget is measured on samples: give --evaluation FILE.npz with the arrays {arrays}")
    return evaluation.feeds(model)


def scorer(model: Model, evaluation: Samples | LabelledImages | None) -> Callable[[Array], float]:
    """From an output to its task's main figure, in points."""
    task, role, classes = task_of(model.spec.task, model.spec.threshold), model.spec.outputs[0].role, len(model.spec.classes)
    headline = next((metric for metric in task.metrics if metric.headline), None)
    if headline is None:
        raise RequestError(f"--max-drop measures a score; {task.title} has none: use --min-sqnr")
    if not isinstance(evaluation, LabelledImages) or classes <= int(evaluation.labels.max()):
        raise RequestError(
            f"--max-drop measures {headline.title}: give --evaluation DIR with {task.labelled_form}, or use --min-sqnr"
        )
    name, labels = headline.name, evaluation.labels
    return lambda output: 100 * task.score(output, role, labels, classes)[name]
