"""The int8 part of an export: from its options to a calibrated network that keeps its budget."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from onenet.base.files import check_folder
from onenet.base.host import has_vnni
from onenet.base.progress import Progress
from onenet.base.quiet import quiet
from onenet.calibration.estimators import ESTIMATOR_NAMES
from onenet.calibration.recipe import INT8, Recipe, x86_safe
from onenet.calibration.record import CalibrationRecord
from onenet.errors import RequestError
from onenet.exporters.options import ExportOptions, long_name

if TYPE_CHECKING:
    from onenet.calibration.budget import Budget
    from onenet.calibration.quantized import QuantizedModel
    from onenet.calibration.samples import LabelledImages, Samples, SampleStream
    from onenet.calibration.search import SearchResult
    from onenet.model import Model

X86_SAFE = ("auto", "yes", "no")
IMAGES = ("calibration", "calibration_samples", "calibration_record")
"""Options that say what int8 is calibrated on."""
CHOICES = ("estimator", "recipe", "x86_safe", "max_drop", "min_sqnr")
"""Options that only int8 has a use for, and only where there are images to calibrate on."""


@dataclass(frozen=True)
class Quantization:
    """How an export is quantized: its options, with the files that they name read."""

    options: ExportOptions
    recipe: Recipe
    record: CalibrationRecord | None
    """A calibration that was made before, in place of images."""

    @classmethod
    def of(cls, options: ExportOptions) -> Quantization:
        """Read and check, before any work. Loads no torch.

        Raises:
            RequestError: options that exclude each other, or a recipe, record or estimator that cannot be used.
        """
        check_choices(options)
        if options.calibration_record is not None:
            check_folder(options.calibration_record.parent)
        if options.calibration is not None and options.calibration.suffix.lower() == ".json":
            chosen = choices(options)
            if chosen:
                raise RequestError(
                    f"{options.calibration} fixes every scale already; {', '.join(chosen)} would need the images"
                )
            record = CalibrationRecord.load(options.calibration)
            return cls(options, record.recipe, record)
        return cls(options, read_recipe(options), None)

    def open_source(self, model: Model, progress: Progress) -> SampleStream | CalibrationRecord:
        """What to calibrate with, looked at before any work.

        Raises:
            RequestError: there are no samples, or the first is none for this model; a record of another model.
        """
        from onenet.calibration.decide import check_model
        from onenet.calibration.inputs import takes_one_image
        from onenet.calibration.samples import default_calibration, stream_for
        from onenet.exporters.steps import is_sampled, stream_steps

        if self.record is not None:
            check_model(self.record, model)
            return self.record
        options = self.options
        if options.calibration is None and not (takes_one_image(model.spec) or is_sampled(model.spec)):
            arrays = ", ".join(tensor.name for tensor in model.spec.inputs)
            raise RequestError(f"int8 of {model.spec.name} needs samples: give --calibration FILE.npz with the arrays {arrays}")
        if options.calibration is None and model.spec.source.get("weights") != "shipped":
            progress.warn("calibrating on the shipped nuclei images: give --calibration DIR with images like your model's own")
        source = options.calibration or default_calibration()
        sampled = is_sampled(model.spec) and source.suffix.lower() != ".npz"
        stream = (stream_steps if sampled else stream_for)(model, source, options.calibration_samples)
        next(iter(stream))
        return stream

    def quantize(
        self,
        model: Model,
        source: SampleStream | CalibrationRecord,
        evaluation: LabelledImages | Samples | None,
        progress: Progress,
    ) -> tuple[QuantizedModel, SearchResult | None]:
        """Calibrate, or take a record; keep the budget where one was given; write the record where it was asked for.

        Raises:
            CheckError: the budget cannot be met.
            RequestError: there is nothing to measure the budget on; a record or samples that are none of the model's.
        """
        from onenet.calibration.calibrate import calibrate

        search = None
        if isinstance(source, CalibrationRecord):
            with quiet():
                quantized = calibrate(model, source)
        else:
            quantized, search = self.calibrate(model, source, evaluation, progress)
        for line in quantized.record.warnings():
            progress.warn(line)
        if self.options.calibration_record is not None:
            quantized.record.save(self.options.calibration_record)
        return quantized, search

    def calibrate(
        self, model: Model, source: SampleStream, evaluation: LabelledImages | Samples | None, progress: Progress
    ) -> tuple[QuantizedModel, SearchResult | None]:
        """Observe the samples and give the int8 model; with a budget, also the result of its search."""
        from onenet.calibration.decide import decide
        from onenet.calibration.observe import observe
        from onenet.calibration.scheme import layers_of

        if self.recipe.weight_limit < INT8.weight_limit:
            progress.warn(f"weights stay within ±{self.recipe.weight_limit}, for onnxruntime on x86 CPUs without VNNI")
        budget = self.budget(model, evaluation)
        progress.start("calibrating int8", total=len(source))
        with quiet():
            calibration = observe(model, source, progress=progress.advance)
        for line in source.skipped:
            progress.warn(f"skipped {line}")
        if budget is None:
            progress.start("choosing the scales")
            with quiet():
                return decide(calibration, self.recipe), None
        progress.start("searching layers to keep in float", total=len(layers_of(calibration.program)))
        with quiet():
            search = budget.keep(calibration, self.recipe, progress.advance)
        return search.quantized, search

    def budget(self, model: Model, evaluation: LabelledImages | Samples | None) -> Budget | None:
        """What was asked to be kept; None where nothing was."""
        from onenet.calibration.budget import budget_of

        return budget_of(model, evaluation, self.options.min_sqnr, self.options.max_drop)


def choices(options: ExportOptions) -> list[str]:
    """Flags of the options that only int8 on images has a use for and that were given."""
    given = {name: getattr(options, name) for name in CHOICES}
    return [f"--{long_name(name)}" for name, value in given.items() if value not in (None, "auto")]


def check_choices(options: ExportOptions) -> None:
    """Raises RequestError for two budgets at once, an unknown estimator or an unknown --x86-safe."""
    if options.max_drop is not None and options.min_sqnr is not None:
        raise RequestError("--max-drop and --min-sqnr exclude each other; give one budget")
    if options.estimator is not None and options.estimator not in ESTIMATOR_NAMES:
        raise RequestError(f"estimator {options.estimator!r} is not known; supported: {', '.join(ESTIMATOR_NAMES)}")
    if options.x86_safe not in X86_SAFE:
        raise RequestError(f"x86-safe {options.x86_safe!r} is not known; supported: {', '.join(X86_SAFE)}")


def refuse_choices(options: ExportOptions) -> None:
    """Refuse options that only int8 has a use for where int8 was not asked for.

    Raises:
        RequestError: names them.
    """
    usual = ExportOptions()
    chosen = [f"--{long_name(name)}" for name in (*IMAGES, *CHOICES) if getattr(options, name) != getattr(usual, name)]
    if chosen:
        raise RequestError(f"{', '.join(chosen)} only changes int8, which was not asked for; add --int8")


def read_recipe(options: ExportOptions) -> Recipe:
    """The recipe that the options ask for, x86-safe where needed. Raises RequestError if it has no int8 rule."""
    recipe = Recipe.load(options.recipe) if options.recipe else INT8
    if not recipe.calibrated:
        raise RequestError(f"the recipe {recipe.name} has no int8 rule; int8 weights alone are --precision w8")
    if options.estimator is not None:
        recipe = replace(recipe, estimator=options.estimator)
    for_this_cpu = options.x86_safe == "auto" and list(options.target) == ["onnx"] and has_vnni() is False
    return x86_safe(recipe) if options.x86_safe == "yes" or for_this_cpu else recipe
