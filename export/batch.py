"""Everything that ``onenet export`` does, as one function: build, cut into tiles, lower, calibrate, convert, check, draw.

Light: a wrong request is refused before torch is loaded.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from onenet.base.files import check_folder
from onenet.base.progress import Progress
from onenet.base.quiet import quiet
from onenet.errors import OneNetError, RequestError, ToolError
from onenet.exporters.android import ASSETS, RUN_THERE, check_project, place_models
from onenet.exporters.options import ExportOptions
from onenet.exporters.results import ExportedArtifact, Exports, FailedExport
from onenet.targets import check_pair, combinations

if TYPE_CHECKING:
    from onenet.calibration.quantized import QuantizedModel
    from onenet.calibration.record import CalibrationRecord
    from onenet.calibration.samples import LabelledImages, Samples, SampleStream
    from onenet.calibration.search import SearchResult
    from onenet.exporters.quantization import Quantization
    from onenet.model import Model


def export_all(options: ExportOptions | None = None, progress: Progress | None = None) -> Exports:
    """Make every artifact that the options ask for: each target in each precision.

    Args:
        options: see ``ExportOptions``; without any, the shipped model as fp32 TFLite.
        progress: told of each step; warnings are Python's without it.

    Returns:
        The artifacts, in the order asked; and ``failed``, what could not be made while something else could.

    Raises:
        RequestError: options that exclude each other, or files and folders that cannot be used; before any work.
        CheckError: nothing could be made, as an artifact failed a check or a budget cannot be met.
        ToolError: nothing could be made, as a converter is missing or failed, or the disk is full.
    """
    options, progress = options or ExportOptions(), progress or Progress()
    quantization = check_options(options)
    if options.for_android is not None:
        check_project(options.for_android, options.target)
    progress.start("loading PyTorch")
    need_converters()
    model = build_model(options, progress)
    if options.tests is not None:
        from onenet.exporters.cases import check_cases

        check_cases(model, options.tests)
    progress.start("reading the images")
    evaluation = load_evaluation(options, model)
    source = quantization.open_source(model, progress) if quantization else None
    lowered = lower_quietly(model, progress)
    exports, calibrated = Exports(), None
    if quantization is not None and source is not None:
        calibrated = calibrate(quantization, lowered, source, evaluation, progress)
        if not isinstance(calibrated, OneNetError):
            exports.quantized, exports.search = calibrated
    for target, precision in combinations(options.target, options.precisions):
        try:
            if precision == "int8" and isinstance(calibrated, OneNetError):
                raise calibrated
            network = exports.quantized if precision == "int8" else lowered
            assert network is not None  # there is a quantization wherever int8 was asked for
            exports.append(make_artifact(options, target, precision, network, evaluation, progress))
        except OneNetError as error:
            exports.failed.append(FailedExport(target, precision, error))
    if options.min_sqnr is None and options.max_drop is None:  # with a budget, what is enough is said
        for line in dict.fromkeys(line for artifact in exports for line in artifact.cautions):
            progress.warn(line)
    exports.raise_failed()
    return exports


def calibrate(
    quantization: Quantization,
    lowered: Model,
    source: SampleStream | CalibrationRecord,
    evaluation: LabelledImages | Samples | None,
    progress: Progress,
) -> tuple[QuantizedModel, SearchResult | None] | OneNetError:
    """What int8 is made of; or why it cannot be made, which does not concern other precisions."""
    from onenet.exporters.failure import explained_as

    try:
        with explained_as(f"calibrating {lowered.spec.name} for int8", "-p w8 or -p fp16"):
            return quantization.quantize(lowered, source, evaluation, progress)
    except OneNetError as error:
        return error


def check_options(options: ExportOptions) -> Quantization | None:
    """Refuse what cannot be done, before any work; how int8 is made where it was asked for.

    Raises:
        RequestError: says what excludes what, or which file or folder cannot be used.
    """
    from onenet.exporters.quantization import Quantization, refuse_choices
    from onenet.models.facts import OPTIONS, Facts
    from onenet.models.sources import check_reference, check_weights

    if options.no_spatial and options.kernel is not None:
        raise RequestError("--kernel and --no-spatial exclude each other; give one of them")
    if bool(options.prompt) != (options.text_encoder is not None):
        raise RequestError("--prompt and --text-encoder belong together: texts, and the encoder that embeds them; give both")
    for target, precision in combinations(options.target, options.precisions):
        # With --io int8, float artifacts made beside int8 ones keep float ends.
        mixed = precision != "int8" and "int8" in options.precisions
        check_pair(target, precision, "float" if mixed else options.io)
    if options.tile is not None and options.tile < 1:
        raise RequestError(f"a tile of {options.tile} pixels was asked for; give a multiple of the network's patch, such as 64")
    if not options.winograd and "fp32" not in options.precisions:
        raise RequestError(f"--no-winograd is for fp32, found {', '.join(options.precisions)}; leave it out")
    quantization = Quantization.of(options) if "int8" in options.precisions else None
    if quantization is None:
        refuse_choices(options)
    Facts.read(options.facts, OPTIONS)
    check_reference(options.model)
    if options.weights is not None:
        check_weights(options.weights)
    check_folder(options.out)
    return quantization


def need_converters() -> None:
    """Import what every export needs, with the libraries' chatter held back.

    Raises:
        ToolError: it is not installed.
    """
    try:
        with quiet():
            import torch  # noqa: F401
            import torchao.quantization.pt2e.quantize_pt2e  # noqa: F401
    except ImportError as error:
        raise ToolError('exporting needs PyTorch and the converters: pip install "onenet-export[export]"') from error


def build_model(options: ExportOptions, progress: Progress) -> Model:
    """The model that the options name, for tiles where they say so."""
    from onenet.lowering.tiling import tile
    from onenet.models.build import build
    from onenet.models.facts import OPTIONS, Facts
    from onenet.models.prompts import clip_embeddings, with_prompts

    progress.start("building the model")
    model = build(
        options.model,
        weights=options.weights,
        random_weights=options.random_weights,
        config=options.config,
        width=options.width,
        classes=options.classes,
        kernel=options.kernel,
        spatial=False if options.no_spatial else None,
        input_size=options.input_size,
        output=options.output,  # type: ignore[arg-type]  # build looks at it
        facts=Facts.read(options.facts, OPTIONS),
    )
    if model.doubt:
        progress.warn(model.doubt)
    if options.text_encoder is not None:
        progress.start("embedding the texts")
        model = with_prompts(model, clip_embeddings(options.text_encoder, options.prompt))
    if options.tile is not None:
        progress.start(f"cutting it into tiles of {options.tile}")
        model = tile(model, options.tile)
    return model


def lower_quietly(model: Model, progress: Progress) -> Model:
    """The deploy form of a model."""
    from onenet import lowering

    progress.start("lowering it exactly")
    with quiet():  # what torch.export cannot trace it prints
        lowered = lowering.lower(model)
    for line in lowered.warnings:
        progress.warn(line)
    return lowered


def load_evaluation(options: ExportOptions, model: Model) -> LabelledImages | Samples | None:
    """The evaluation samples, with labels where the folder holds them in the form of the model's task.

    Raises:
        RequestError: what was given does not fit the model, or cannot be read.
    """
    from onenet.calibration.inputs import takes_one_image
    from onenet.calibration.samples import collected, default_evaluation, load_labelled, load_samples, samples_for
    from onenet.exporters.steps import is_sampled, stream_steps
    from onenet.tasks import task_of

    first, source = model.spec.inputs[0], options.evaluation
    images, task = takes_one_image(model.spec) and first.shape[1] in (1, 3), task_of(model.spec.task)
    labelled = images and source is not None and source.is_dir() and task.is_labelled(source)
    if source is not None and not labelled:
        refuse_unscored(model, source)
    if is_sampled(model.spec) and (source is None or source.suffix.lower() != ".npz"):
        stream = stream_steps(model, source or default_evaluation() / "images")
        return collected(stream.name, stream, stream.skipped)
    if source is not None and not labelled:
        return samples_for(model, source)
    if not images:
        return None
    channels, (height, width) = first.shape[1], model.image_size
    if source is not None:
        classes = model.spec.classes
        ignored = model.spec.ignore_index
        return load_labelled(source, height, width, channels=channels, task=task.name, classes=classes, ignore_index=ignored)
    if model.spec.source.get("weights") == "shipped":
        return load_labelled(default_evaluation(), height, width)
    return load_samples(default_evaluation() / "images", height, width, channels=channels)


def refuse_unscored(model: Model, source: Path) -> None:
    """Refuse masks that nothing would be scored against.

    Raises:
        RequestError: the folder holds images with masks, and the network has no labels.
    """
    from onenet.tasks import task_of

    if source.is_dir() and (source / "images").is_dir() and task_of("segmentation").is_labelled(source):
        gives = ", ".join(f"{each.name} {each.shape}" for each in model.spec.outputs)
        raise RequestError(
            f"{source} has masks, and {model.spec.name} gives {gives}, which is not scored against masks: --output-key chooses "
            f"one of several outputs, and {source / 'images'} alone compares with the float model"
        )


def make_artifact(
    options: ExportOptions,
    target: str,
    precision: str,
    network: Model | QuantizedModel,
    evaluation: LabelledImages | Samples | None,
    progress: Progress,
) -> ExportedArtifact:
    """One artifact, with its picture where one was asked for."""
    from onenet.exporters.cases import write_cases
    from onenet.exporters.pipeline import export
    from onenet.exporters.preview import preview
    from onenet.model import Model

    progress.start(f"converting to {target} {precision} and checking it")
    artifact = export(
        network,
        target=target,
        precision=precision,
        io=options.io if precision == "int8" else "float",
        out=options.out,
        evaluation=evaluation,
        verify=options.verify,
        measured=options.evaluation is not None,
        winograd=options.winograd,
        max_size=options.max_size,
        progress=progress,
    )
    if options.tests is not None and evaluation is not None:
        progress.start("writing its golden cases")
        write_cases(artifact.path, evaluation, options.tests)
    if options.for_android is not None and target in RUN_THERE:
        progress.start("placing it in the Android project")
        place_models([artifact.path], options.for_android / ASSETS)
    if not options.preview:
        return artifact
    progress.start("drawing the preview")
    path, reason = preview(artifact, network if isinstance(network, Model) else network.model, evaluation)
    if reason:
        progress.warn(f"no preview of {artifact.path.name}: {reason}")
    return dataclasses.replace(artifact, preview=path)
