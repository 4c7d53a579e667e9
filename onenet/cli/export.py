"""What ``onenet export`` does: the library's steps in order, with progress, a summary and a preview."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onenet
from onenet.base.files import check_folder
from onenet.base.quiet import quiet
from onenet.calibration.samples import LabelledImages, Samples, default_evaluation, load_labelled, load_samples
from onenet.cli import console
from onenet.cli import quantize as command_quantize
from onenet.cli.quantize import QuantizeRequest
from onenet.errors import RequestError, ToolError
from onenet.exporters.pairs import check_pair, combinations
from onenet.model import Model


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
