"""``onenet run``: images of any size through an artifact, one mask each. Loads no torch."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onenet.base.files import check_folder
from onenet.base.host import peak_bytes
from onenet.base.quiet import quiet
from onenet.base.text import shape_text
from onenet.cli import console
from onenet.errors import CheckError, RequestError

if TYPE_CHECKING:
    from onenet.runtimes.artifact import Artifact
    from onenet.runtimes.parity import Verification
    from onenet.runtimes.segment import Fit

EXAMPLE = "onenet run build/onenet-ed4_int8_tile64.tflite photo.jpg"
SUFFIX = ".mask.png"


def command(
    artifact: Annotated[Path, typer.Argument(metavar="ARTIFACT", help="A .tflite or .onnx segmentation model made by onenet.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE", help="Images of any size, or folders of them.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Folder for the masks. Default: beside each image.")
    ] = None,
    fit: Annotated[
        str,
        typer.Option(
            metavar="HOW",
            help="How an image of another size than the model's is run: tile keeps its scale and gives the result of the "
            "whole image; resize stretches it, and the mask back; auto tiles where that is exact, and else resizes.",
        ),
    ] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of the runtime. Default: its own choice.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")] = False,
) -> None:
    """Segment images of any size: writes NAME.mask.png, a PNG of class indices in the classes' colours.

    Images are streamed tile by tile in constant memory. Needs the artifact's runtime, not torch.
    """
    from onenet.runtimes.segment import FITS

    if fit not in FITS:
        raise RequestError(f"fit {fit!r} is not known; supported: {', '.join(FITS)}")
    run(artifact, images, out, fit, threads, json)


def run(path: Path, sources: list[Path], out: Path | None, fit: Fit, threads: int | None, json: bool) -> None:
    with console.Steps(silent=json) as steps:
        masks = masks_of(sources, out)
        steps.start(f"opening {path.name}")
        artifact = open_for_run(path, threads, steps)
        results = [run_image(artifact, image, mask, fit, steps) for image, mask in masks.items()]
    peak = peak_bytes()
    if json:
        runtime = artifact.session.runtime.as_dict()
        console.print_json(
            {"artifact": path.name, "runtime": runtime, "threads": threads, "peak_memory_bytes": peak, "images": results}
        )
    else:
        console.print_run(results, peak)


def masks_of(sources: list[Path], out: Path | None) -> dict[Path, Path]:
    """Each image and where its mask goes: ``NAME.mask.png`` beside it, or in ``out``.

    Raises:
        RequestError: no image, two masks of one name, or a folder that cannot be written.
    """
    from onenet.base.images import find_images

    found: dict[Path, Path] = {}
    for source in sources:
        images = [p for p in find_images(source) if not p.name.endswith(SUFFIX)] if source.is_dir() else [source]
        if not images:
            raise RequestError(f"{source} holds no image")
        if not source.exists():
            raise RequestError(f"image {source} does not exist")
        found |= {image: (out or image.parent) / (image.stem + SUFFIX) for image in images}
    names: dict[Path, Path] = {}
    for image, mask in found.items():
        other = names.setdefault(mask, image)
        if other != image:
            raise RequestError(f"the masks of {other} and {image} would both be {mask}; run them with different --out")
    for folder in {mask.parent for mask in found.values()}:
        check_folder(folder)
    return found


def open_for_run(path: Path, threads: int | None, steps: console.Steps) -> Artifact:
    """The artifact; in exact arithmetic where this CPU's int8 kernels would saturate.

    Raises:
        CheckError: it is not the file that the manifest beside it describes, or a file without one fails its check.
    """
    from onenet.runtimes.artifact import open_artifact
    from onenet.runtimes.parity import check_bytes
    from onenet.runtimes.segment import check_segments
    from onenet.runtimes.verify import verify

    with quiet():
        if not check_bytes(path).passed:  # runtimes do not survive every damaged file: another process tries it first
            refuse_failed(verify(path, threads))
        artifact = open_artifact(path, threads)
        check_segments(artifact)
        saturates = artifact.session.may_saturate
        artifact = open_artifact(path, threads, exact_int8=True) if saturates else artifact
    if saturates:
        steps.warn("this CPU has no VNNI and onnxruntime's int8 kernels saturate on it: computing in float, which is slower")
    return artifact


def refuse_failed(found: Verification) -> None:
    failed = next((check for check in found.checks if check.passed is False), None)
    if failed is not None:
        raise CheckError(f"{found.artifact} failed its check of {failed.name}: {failed.detail}")


def run_image(artifact: Artifact, image: Path, mask: Path, fit: Fit, steps: console.Steps) -> dict[str, Any]:
    from onenet.base.images import read_image
    from onenet.runtimes.segment import make_plan, segment, write_mask

    began = time.monotonic()
    pixels = read_image(image)
    size = (pixels.shape[0], pixels.shape[1])
    plan = make_plan(artifact, size, fit)
    if plan.resized and plan.reason:
        steps.warn(f"{image.name} is stretched to {shape_text(plan.grid.size)} and its mask back: {plan.reason}")
    steps.start(f"{image.name}: {shape_text(size)}, {plan.text}", total=len(plan.grid))
    write_mask(artifact, segment(artifact, pixels, plan, steps.advance), mask)
    tiling = artifact.tiling
    return {
        "image": str(image),
        "size": list(size),
        "run_as": plan.text,
        "resized": plan.resized,
        "tiles": len(plan.grid),
        "tile": list(plan.grid.tile),
        "halo": list(tiling.halo) if tiling and len(plan.grid) > 1 and not plan.resized else None,
        "seconds": round(time.monotonic() - began, 3),
        "mask": str(mask),
    }
