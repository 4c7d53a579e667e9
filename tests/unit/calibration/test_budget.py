"""A budget is kept with layers in float, from Python as from the command line, and refused where it cannot be measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from onenet.base.metrics import sqnr_db
from onenet.calibration.budget import drop_budget, sqnr_budget
from onenet.calibration.calibrate import calibrate
from onenet.calibration.outputs import float_outputs
from onenet.calibration.quantized import QuantizedModel
from onenet.calibration.samples import LabelledImages, Samples
from onenet.errors import CheckError, RequestError
from tests.unit.calibration.observed import IMAGES, QUICK, observed

MODEL = observed((3,)).model
"""Its fourth layer is ruined by int8."""
FLOATS = float_outputs(MODEL, IMAGES)
SAMPLES = Samples.of_images("images", IMAGES)
LABELLED = LabelledImages(SAMPLES, FLOATS.argmax(1))


def sqnr_of(quantized: QuantizedModel) -> float:
    return sqnr_db(FLOATS, float_outputs(MODEL, IMAGES, quantized.reference))


def in_float(quantized: QuantizedModel) -> list[str]:
    return [rule.name for rule in quantized.record.recipe.rules if rule.precision == "float"]


def test_without_a_budget_nothing_stays_in_float() -> None:
    quantized = calibrate(MODEL, list(IMAGES), recipe=QUICK)
    assert in_float(quantized) == []
    assert sqnr_of(quantized) < 20


@pytest.mark.parametrize("budget", [{"min_sqnr": 20.0}, {"max_drop": 20.0}])
def test_a_budget_is_kept(budget: dict[str, float]) -> None:
    quantized = calibrate(MODEL, list(IMAGES), recipe=QUICK, evaluation=LABELLED, **budget)  # type: ignore[arg-type]  # floats
    assert in_float(quantized) == ["conv2d_3"]
    assert sqnr_of(quantized) > 20


def test_what_they_measure() -> None:
    quantized = calibrate(MODEL, list(IMAGES), recipe=QUICK)
    assert sqnr_budget(MODEL, SAMPLES, 30).measure(quantized.reference) == pytest.approx(sqnr_of(quantized))
    drop = drop_budget(MODEL, LABELLED, 2.5)
    assert drop.least == -2.5
    assert drop.measure(MODEL.module) == 0  # type: ignore[arg-type]  # the labels are the float network's own
    assert drop.measure(quantized.reference) < -20


def test_one_that_cannot_be_kept() -> None:
    with pytest.raises(CheckError, match="the budget cannot be met"):
        calibrate(MODEL, list(IMAGES), recipe=QUICK, max_drop=-1, evaluation=LABELLED)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"min_sqnr": 30, "max_drop": 1, "evaluation": LABELLED}, "exclude each other"),
        ({"min_sqnr": 30}, "give evaluation="),
        ({"max_drop": 1, "evaluation": SAMPLES}, "measures mIoU: give --evaluation DIR with images/ and labels/"),
        ({"max_drop": 1, "evaluation": LabelledImages(SAMPLES, np.full((6, 12, 12), 9))}, "measures mIoU"),
    ],
)
def test_what_cannot_be_measured(given: dict[str, Any], says: str) -> None:
    with pytest.raises(RequestError, match=says):
        calibrate(MODEL, list(IMAGES), recipe=QUICK, **given)


def test_a_record_has_no_budget_left() -> None:
    record = calibrate(MODEL, list(IMAGES), recipe=QUICK).record
    assert in_float(calibrate(MODEL, record)) == []
    with pytest.raises(RequestError, match="fixes every scale already"):
        calibrate(MODEL, record, min_sqnr=30, evaluation=SAMPLES)
