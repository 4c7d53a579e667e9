"""The quantizing part of ``onenet export``: from the command's options to a calibrated network that keeps its budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onenet.base.files import check_folder
from onenet.base.host import has_vnni
from onenet.base.quiet import quiet
from onenet.calibration.estimators import ESTIMATORS
from onenet.calibration.quantized import QuantizedModel
from onenet.calibration.recipe import INT8, Recipe, x86_safe
from onenet.calibration.record import CalibrationRecord
from onenet.calibration.samples import LabelledImages, Samples, SampleStream, default_calibration, stream_samples
from onenet.cli import console
from onenet.errors import RequestError
from onenet.model import Model

if TYPE_CHECKING:
    from onenet.calibration.calibrate import Calibration
    from onenet.calibration.search import SearchResult

X86_SAFE = ("auto", "yes", "no")


@dataclass(frozen=True)
class QuantizeRequest:
    """The command's options on int8."""

    calibration: Path | None = None
    samples: int = 32
    record: Path | None = None
    """Where to write the calibration record."""
    estimator: str | None = None
    recipe: Path | None = None
    x86_safe: str = "auto"
    max_drop: float | None = None
    min_sqnr: float | None = None

    @property
    def choices(self) -> dict[str, Any]:
        """What can be chosen where there are images to calibrate on."""
        return {
            "--estimator": self.estimator,
            "--recipe": self.recipe,
            "--x86-safe": None if self.x86_safe == "auto" else self.x86_safe,
            "--max-drop": self.max_drop,
            "--min-sqnr": self.min_sqnr,
        }

    @property
    def from_record(self) -> bool:
        return self.calibration is not None and self.calibration.suffix.lower() == ".json"


@dataclass(frozen=True)
class Quantization:
    """What the options amount to, read and checked before any work."""

    request: QuantizeRequest
    recipe: Recipe
    record: CalibrationRecord | None


def check(request: QuantizeRequest, targets: list[str]) -> Quantization:
    """Refuse what cannot be done, before any work.

    Raises:
        RequestError: options that exclude each other, or a recipe, record or estimator that cannot be used.
    """
    if request.max_drop is not None and request.min_sqnr is not None:
        raise RequestError("--max-drop and --min-sqnr exclude each other; give one budget")
    if request.estimator is not None and request.estimator not in ESTIMATORS:
        raise RequestError(f"estimator {request.estimator!r} is not known; supported: {', '.join(ESTIMATORS)}")
    if request.x86_safe not in X86_SAFE:
        raise RequestError(f"x86-safe {request.x86_safe!r} is not known; supported: {', '.join(X86_SAFE)}")
    if request.record is not None:
        check_folder(request.record.parent)
    if request.from_record:
        given = [name for name, value in request.choices.items() if value is not None]
        if given:
            raise RequestError(f"{request.calibration} fixes every scale already; {', '.join(given)} would need the images")
        assert request.calibration is not None
        record = CalibrationRecord.load(request.calibration)
        return Quantization(request, record.recipe, record)
    recipe = Recipe.load(request.recipe) if request.recipe else INT8
    if not recipe.calibrated:
        raise RequestError(f"the recipe {recipe.name} has no int8 rule; int8 weights alone are --precision w8")
    if request.estimator is not None:
        recipe = replace(recipe, estimator=request.estimator)
    for_this_cpu = request.x86_safe == "auto" and targets == ["onnx"] and has_vnni() is False
    if request.x86_safe == "yes" or for_this_cpu:
        recipe = x86_safe(recipe)
    return Quantization(request, recipe, None)


def refuse_unused(request: QuantizeRequest) -> None:
    """Refuse options that only int8 has a use for where int8 was not asked for."""
    given = [name for name, value in request.choices.items() if value is not None]
    if given:
        raise RequestError(f"{', '.join(given)} only changes int8, which was not asked for; add --int8")


def open_source(quantization: Quantization, model: Model, steps: console.Steps) -> SampleStream | CalibrationRecord:
    """What to calibrate with, looked at before any work.

    Raises:
        RequestError: the model takes no images; there are none, or the first is no sample for it; a record of another model.
    """
    from onenet.calibration.calibrate import check_model

    if quantization.record is not None:
        check_model(quantization.record, model)
        return quantization.record
    request, first = quantization.request, model.spec.inputs[0]
    if len(model.spec.inputs) != 1 or len(first.shape) != 4:
        raise RequestError(f"int8 is calibrated on images; {model.spec.name} does not take one image alone")
    channels, (height, width) = first.shape[1], model.image_size
    if request.calibration is None and model.spec.source.get("weights") != "shipped":
        steps.warn("calibrating on the shipped nuclei images: give --calibration DIR with images like your model's own")
    stream = stream_samples(request.calibration or default_calibration(), height, width, request.samples, channels)
    next(iter(stream))
    return stream


def run(
    quantization: Quantization,
    source: SampleStream | CalibrationRecord,
    model: Model,
    evaluation: LabelledImages | Samples | None,
    steps: console.Steps,
) -> tuple[QuantizedModel, SearchResult | None]:
    """Calibrate, or take a record; keep the budget where one was given; write the record where it was asked for."""
    import onenet
    from onenet.calibration.calibrate import decide, observe

    request, recipe = quantization.request, quantization.recipe
    result = None
    if isinstance(source, CalibrationRecord):
        with quiet():
            quantized = onenet.calibrate(model, source)
    else:
        if recipe.weight_limit < INT8.weight_limit:
            steps.warn(f"weights stay within ±{recipe.weight_limit}, for onnxruntime on x86 CPUs without VNNI")
        steps.start("calibrating int8", total=len(source))
        with quiet():
            calibration = observe(model, source, progress=steps.advance)
        for line in source.skipped:
            steps.warn(f"skipped {line}")
        if request.max_drop is None and request.min_sqnr is None:
            steps.start("choosing the scales")
            with quiet():
                quantized = decide(calibration, recipe)
        else:
            result = keep_budget(request, calibration, recipe, evaluation, steps)
            quantized = result.quantized
    for line in quantized.record.warnings():
        steps.warn(line)
    if request.record is not None:
        quantized.record.save(request.record)
    return quantized, result


def keep_budget(
    request: QuantizeRequest,
    calibration: Calibration,
    recipe: Recipe,
    evaluation: LabelledImages | Samples | None,
    steps: console.Steps,
) -> SearchResult:
    """Search the fewest layers that must leave int8.

    Raises:
        CheckError: the budget cannot be met.
        RequestError: there is nothing to measure the budget on.
    """
    from onenet.calibration.scheme import layers_of
    from onenet.calibration.search import search

    measure, budget = measure_of(request, calibration, evaluation)
    steps.start("searching layers to keep in float", total=len(layers_of(calibration.program)))
    with quiet():
        return search(calibration, recipe, measure, budget, steps.advance)


def measure_of(
    request: QuantizeRequest, calibration: Calibration, evaluation: LabelledImages | Samples | None
) -> tuple[Callable[[Any], float], float]:
    """What the budget is measured with, larger is better, and the least value it allows."""
    from onenet.base.metrics import confusion, mean_iou, sqnr_db
    from onenet.exporters.pipeline import float_outputs
    from onenet.runtimes.parity import labels_of

    model = calibration.model
    role, classes = model.spec.outputs[0].role, len(model.spec.classes)
    if evaluation is None:
        raise RequestError(f"a budget is measured on images; {model.spec.name} does not take one image alone")
    labelled = evaluation if isinstance(evaluation, LabelledImages) else None
    images = (labelled.samples if labelled else evaluation).arrays  # type: ignore[union-attr]  # Samples then
    wanted = float_outputs(model, images)

    def results(program: Any) -> Any:
        return float_outputs(replace(model, module=program), images)

    if request.min_sqnr is not None:
        if role == "labels":
            raise RequestError("--min-sqnr compares logits or probabilities, the output is labels; use --max-drop")
        return lambda program: sqnr_db(wanted, results(program)), request.min_sqnr
    if labelled is None or classes <= int(labelled.labels.max()):
        raise RequestError("--max-drop measures mIoU: give --evaluation DIR with images/ and labels/, or use --min-sqnr")

    def miou(outputs: Any) -> float:
        return 100 * mean_iou(confusion(labelled.labels, labels_of(outputs, role), classes))

    assert request.max_drop is not None
    whole = miou(wanted)
    return lambda program: miou(results(program)) - whole, -request.max_drop
