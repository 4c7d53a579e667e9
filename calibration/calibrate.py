"""One calibration for every target.

    samples --observe--> statistics --estimator--> ranges --> record --quantize--> int8 program

The record holds every decision, so that a second export from it needs no images and gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from onenet.calibration.budget import budget_of
from onenet.calibration.decide import check_model, decide, quantize
from onenet.calibration.observe import AnySample, observe
from onenet.calibration.quantized import QuantizedModel
from onenet.calibration.recipe import INT8, Recipe
from onenet.calibration.record import CalibrationRecord
from onenet.calibration.samples import LabelledImages, Samples
from onenet.errors import RequestError
from onenet.model import Model


def calibrate(
    model: Model,
    samples: Iterable[AnySample] | CalibrationRecord,
    progress: Callable[[int], None] | None = None,
    *,
    recipe: Recipe = INT8,
    min_sqnr: float | None = None,
    max_drop: float | None = None,
    evaluation: Samples | LabelledImages | None = None,
) -> QuantizedModel:
    """Run the samples through the deploy form and fix every scale; or take the scales from a record.

    Args:
        model: the lowered model; any number of inputs, of any role. Integer inputs are fed and not quantized.
        samples: one array for each input, without the batch: dictionaries by the inputs' names, or ``Sample``; for a model
            of one input the arrays alone serve, images (C, H, W), float in [0, 1]. Each is looked at once and let go, so a
            generator of any length serves. A model for tiles takes whole images, of ``model.image_size``, and is calibrated
            on the tiles that they will be cut into. Or what an earlier calibration of the same model recorded.
        progress: called with 1 after each sample, and with 1 for each layer that a budget's search looked at.
        recipe: what is quantized and how. A record brings its own.
        min_sqnr: a budget, in dB: the fewest layers stay in float with which the output reaches this SQNR.
        max_drop: a budget, in points: the fewest layers stay in float with which the task's main figure (mIoU for
            segmentation) falls by no more than this. Needs labels.
        evaluation: what a budget is measured on.

    Raises:
        RequestError: no samples; a sample with an input missing, unknown or of another shape, type or range than the
            model's, which is named; a record of another model, or with a budget; two budgets, or nothing to measure one on.
        CheckError: the budget cannot be met; names the best that was found.
    """
    if min_sqnr is not None and max_drop is not None:
        raise RequestError("min_sqnr and max_drop exclude each other; give one budget")
    has_budget = min_sqnr is not None or max_drop is not None
    if has_budget and evaluation is None:
        raise RequestError("a budget is measured on images; give evaluation=, as load_samples or load_labelled return it")
    if isinstance(samples, CalibrationRecord):
        if has_budget:
            raise RequestError("a calibration record fixes every scale already; a budget needs the samples")
        check_model(samples, model)
        return quantize(model, samples)
    budget = budget_of(model, evaluation, min_sqnr, max_drop)
    calibration = observe(model, samples, progress)
    return decide(calibration, recipe) if budget is None else budget.keep(calibration, recipe, progress).quantized
