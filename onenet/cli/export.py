"""``onenet export``: the library's steps in order, with progress, a summary and a preview."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import onenet
from onenet.base.files import check_folder
from onenet.base.quiet import quiet
from onenet.cli import console
from onenet.cli.shared import MODEL_HELP
from onenet.errors import RequestError, ToolError

if TYPE_CHECKING:
    from onenet.calibration.samples import LabelledImages, Samples
    from onenet.cli.quantize import QuantizeRequest
    from onenet.model import Model

HELP = (
    "Export a trained network as verified TFLite, ONNX or Core ML files.\n\n"
    "Without options it exports the shipped nuclei segmentation model. The network is lowered exactly, quantized once for "
    "all targets, converted, run against the float model, and written with a manifest."
)
EXAMPLE = "onenet-export --target tflite --int8"
model_option = functools.partial(typer.Option, rich_help_panel="What to export")
form_option = functools.partial(typer.Option, rich_help_panel="How to export it")
int8_option = functools.partial(typer.Option, rich_help_panel="How to quantize it (int8)")
result_option = functools.partial(typer.Option, rich_help_panel="Result")


def command(
    target: Annotated[
        list[str] | None,
        form_option("--target", "-t", metavar="NAME", help="tflite, onnx or coreml; repeat for several. Default: tflite."),
    ] = None,
    precision: Annotated[
        list[str] | None,
        form_option(
            "--precision",
            "-p",
            metavar="NAME",
            help="fp32, fp16, int8 or w8 (int8 weights); repeat for several. Default: fp32.",
        ),
    ] = None,
    int8: Annotated[bool, form_option("--int8", help="Short for --precision int8.")] = False,
    io: Annotated[
        str, form_option(metavar="TYPE", help="float, or int8 for integer inputs and outputs (TFLite, ONNX).")
    ] = "float",
    output: Annotated[
        str, form_option(metavar="ROLE", help="What the network returns: logits, probabilities or labels.")
    ] = "logits",
    winograd: Annotated[
        bool,
        form_option(
            "--winograd/--no-winograd",
            help="In fp32, wide 3x3 convolutions by Winograd's method: faster, and a larger file.",
        ),
    ] = True,
    calibration: Annotated[
        Path | None,
        int8_option(metavar="PATH", help="Images: a folder or an .npz; or a record (.json). Default: 32 shipped images."),
    ] = None,
    calibration_samples: Annotated[
        int, int8_option(metavar="N", min=1, help="Use at most this many, evenly spaced by name.")
    ] = 32,
    calibration_record: Annotated[
        Path | None,
        int8_option(metavar="FILE", help="Write what was seen and decided; --calibration FILE repeats it without the images."),
    ] = None,
    estimator: Annotated[
        str | None,
        int8_option(
            metavar="NAME", help="How a range follows from the values seen: mse (default), min-max, percentile, entropy."
        ),
    ] = None,
    recipe: Annotated[
        Path | None, int8_option(metavar="FILE", help="JSON rules that say which layers are int8, w8 or float.")
    ] = None,
    max_drop: Annotated[
        float | None,
        int8_option(metavar="POINTS", min=0, help="Keep the fewest layers in float that hold the drop of mIoU to this."),
    ] = None,
    min_sqnr: Annotated[
        float | None,
        int8_option(metavar="DB", help="Keep the fewest layers in float that reach this SQNR; needs no masks."),
    ] = None,
    x86_safe: Annotated[
        str,
        int8_option(
            metavar="WHEN",
            help="yes, no or auto: weights within ±63, right in onnxruntime on x86 CPUs without VNNI. auto: ONNX alone, made "
            "on such a CPU.",
        ),
    ] = "auto",
    model: Annotated[str, model_option("--model", "-m", metavar="MODEL", help=MODEL_HELP)] = "onenet-ed4",
    weights: Annotated[
        Path | None, model_option(metavar="FILE", help="State dict: .safetensors, .pt or .pth. Default: the shipped one.")
    ] = None,
    random_weights: Annotated[
        bool, model_option("--random-weights", help="Export an untrained network (for benchmarks).")
    ] = False,
    config: Annotated[Path | None, model_option(metavar="FILE", help="YAML configuration of the official repository.")] = None,
    width: Annotated[int | None, model_option(metavar="N", min=1, help="Channels at full resolution.")] = None,
    classes: Annotated[int | None, model_option(metavar="N", min=1, help="Number of classes.")] = None,
    kernel: Annotated[int | None, model_option(metavar="N", min=1, help="Length of the spatial 1D convolution (odd).")] = None,
    no_spatial: Annotated[bool, model_option("--no-spatial", help="No spatial convolution.")] = False,
    input_size: Annotated[
        tuple[int, int] | None, model_option(metavar="H W", help="Height and width of the images. Default: 256 256.")
    ] = None,
    tile: Annotated[
        int | None,
        model_option(metavar="N", help="Take N x N pieces of images of --input-size, for `onenet run` on images of any size."),
    ] = None,
    out: Annotated[Path, result_option("--out", "-o", metavar="DIR", help="Folder for the artifacts.")] = Path("build"),
    evaluation: Annotated[
        Path | None,
        result_option(metavar="DIR", help="Images to compare with the float model on; with images/ and labels/, mIoU as well."),
    ] = None,
    preview: Annotated[
        bool, result_option("--preview/--no-preview", help="Draw what the artifact predicts, beside it.")
    ] = False,
    verify: Annotated[bool, result_option("--verify/--no-verify", help="Check each artifact before it is written.")] = True,
    json: Annotated[bool, result_option("--json", help="Print one JSON document instead of tables.")] = False,
) -> None:
    """See ``HELP``."""
    from onenet.cli.quantize import QuantizeRequest

    if no_spatial and kernel is not None:
        raise RequestError("--kernel and --no-spatial exclude each other; give one of them")
    request = Request(
        targets=target or ["tflite"],
        precisions=[*(precision or []), *(["int8"] if int8 else [])] or ["fp32"],
        io=io,
        quantize=QuantizeRequest(
            calibration=calibration,
            samples=calibration_samples,
            record=calibration_record,
            estimator=estimator,
            recipe=recipe,
            x86_safe=x86_safe,
            max_drop=max_drop,
            min_sqnr=min_sqnr,
        ),
        evaluation=evaluation,
        out=out,
        preview=preview,
        verify=verify,
        json=json,
        winograd=winograd,
        tile=tile,
        model=model,
        build=dict(
            weights=weights,
            random_weights=random_weights,
            config=config,
            width=width,
            classes=classes,
            kernel=kernel,
            spatial=False if no_spatial else None,
            input_size=input_size,
            output=output,
        ),
    )
    run(request)


@dataclass(frozen=True)
class Request:
    """The command's options."""

    targets: list[str]
    precisions: list[str]
    io: str
    quantize: QuantizeRequest
    evaluation: Path | None
    out: Path
    preview: bool
    verify: bool
    json: bool
    winograd: bool
    tile: int | None
    model: str
    build: dict[str, Any]


def run(request: Request) -> None:
    from onenet.cli import quantize as command_quantize
    from onenet.targets import check_pair, combinations

    pairs = list(combinations(request.targets, request.precisions))
    for target, precision in pairs:  # with --io int8, float artifacts made beside int8 ones keep float ends
        mixed = precision != "int8" and "int8" in request.precisions
        check_pair(target, precision, "float" if mixed else request.io)
    if request.tile is not None and request.tile < 1:
        raise RequestError(f"a tile of {request.tile} pixels was asked for; give a multiple of the network's patch, such as 64")
    if not request.winograd and "fp32" not in request.precisions:
        raise RequestError(f"--no-winograd is for fp32, found {', '.join(request.precisions)}; leave it out")
    quantization = None
    if "int8" in request.precisions:
        quantization = command_quantize.check(request.quantize, request.targets)
    else:
        command_quantize.refuse_unused(request.quantize)
    check_folder(request.out)
    with console.Steps(silent=request.json) as steps:
        steps.start("loading PyTorch")
        need_converters()
        steps.start("building the model")
        model = onenet.build(request.model, **request.build)
        if request.tile is not None:
            steps.start(f"cutting it into tiles of {request.tile}")
            model = onenet.tile(model, request.tile)
        steps.start("reading the images")
        evaluation = load_evaluation(request, model)
        source = command_quantize.open_source(quantization, model, steps) if quantization else None
        steps.start("lowering it exactly")
        with quiet():  # what torch.export cannot trace it prints
            lowered = onenet.lower(model)
        quantized, search = None, None
        if quantization is not None and source is not None:
            quantized, search = command_quantize.run(quantization, source, lowered, evaluation, steps)
        exported = []
        for target, precision in pairs:
            steps.start(f"converting to {target} {precision} and checking it")
            network = quantized if precision == "int8" else lowered
            assert network is not None
            artifact = onenet.export(
                network,
                target=target,
                precision=precision,
                io=request.io if precision == "int8" else "float",
                out=request.out,
                evaluation=evaluation,
                verify=request.verify,
                winograd=request.winograd,
            )
            preview = draw(request, artifact, lowered, evaluation, steps)
            exported.append((artifact, preview))
    if request.json:
        console.print_json([{**a.as_dict(), "preview": str(p) if p else None} for a, p in exported])
    else:
        console.print_exported(exported, quantized, search)


def need_converters() -> None:
    """Import what every export needs, with the libraries' chatter held back."""
    try:
        with quiet():
            import torch  # noqa: F401
            import torchao.quantization.pt2e.quantize_pt2e  # noqa: F401
    except ImportError as error:
        raise ToolError('exporting needs PyTorch and the converters: pip install "onenet-export[export]"') from error


def load_evaluation(request: Request, model: Model) -> LabelledImages | Samples | None:
    """The evaluation images; masks only where they belong to the model's classes."""
    from onenet.calibration.samples import default_evaluation, load_labelled, load_samples

    first = model.spec.inputs[0]
    if len(model.spec.inputs) != 1 or first.role != "image" or first.shape[1] not in (1, 3):
        if request.evaluation:
            raise RequestError(f"--evaluation needs a model of one image input with 1 or 3 channels, found {first.shape}")
        return None
    channels, (height, width) = first.shape[1], model.image_size
    if request.evaluation is not None:
        if (request.evaluation / "labels").is_dir():
            return load_labelled(request.evaluation, height, width, channels=channels)
        return load_samples(request.evaluation, height, width, channels=channels)
    if model.spec.source.get("weights") == "shipped":
        return load_labelled(default_evaluation(), height, width)
    return load_samples(default_evaluation() / "images", height, width, channels=channels)


def draw(
    request: Request, artifact: Any, model: Model, evaluation: LabelledImages | Samples | None, steps: console.Steps
) -> Path | None:
    """The preview picture; None where it was not asked for or cannot be drawn."""
    if not request.preview:
        return None
    from onenet.exporters.preview import preview

    steps.start("drawing the preview")
    path, reason = preview(artifact, model, evaluation)
    if reason:
        steps.warn(f"no preview of {artifact.path.name}: {reason}")
    return path
