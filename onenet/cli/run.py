"""``onenet run``: images of any size through an artifact, one file each. Loads no torch."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from onenet.base.host import peak_bytes
from onenet.cli import console
from onenet.cli.shared import one_of, runtime_help
from onenet.errors import ToolError
from onenet.targets import suffixes

if TYPE_CHECKING:
    from onenet.runtimes.foreign import Elsewhere
    from onenet.tasks.image import Fit

EXAMPLE = "onenet run build/onenet-ed4_int8_tile64.tflite photo.jpg"


foreign_option = functools.partial(typer.Option, rich_help_panel="A file that onenet did not make")


def elsewhere(said: Mapping[str, object]) -> Elsewhere | None:
    """What is said of a file that onenet did not make; None where nothing is.

    Raises:
        RequestError: a value that is none.
    """
    from onenet.models.facts import OPTIONS, Facts
    from onenet.runtimes.foreign import Elsewhere

    facts = Facts.read(said, OPTIONS)
    if not facts:
        return None
    return Elsewhere(facts.input_size, facts.mean or (0.0,), facts.std or (1.0,), facts.bgr, facts.class_names or ())


def command(
    artifact: Annotated[Path, typer.Argument(metavar="ARTIFACT", help=f"{one_of(list(suffixes().values()))} made by onenet.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE", help="Images of any size, or folders of them.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Folder for the results. Default: beside each image.")
    ] = None,
    fit: Annotated[
        str,
        typer.Option(
            metavar="HOW",
            help="How an image of another size than the model's is run: tile keeps its scale and gives the result of the "
            "whole image; resize stretches it, and a mask back; auto tiles where that is exact, and else resizes.",
        ),
    ] = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Threads. Default: the choice of the runtime.")
    ] = None,
    runtime: Annotated[str | None, typer.Option(metavar="NAME", help=runtime_help())] = None,
    prompt: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What a denoiser looks for: one of the texts that it was exported with.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, metavar="N", help="Of a denoiser, for each image.")] = 4,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of the noise that a denoiser begins with.")] = 0,
    input_size: Annotated[
        tuple[int, int] | None, foreign_option(metavar="H W", help="Height and width of its image, where the file has none.")
    ] = None,
    mean: Annotated[
        str | None,
        foreign_option(metavar="NUMBERS", help="It takes (x - mean) / std of RGB in [0, 1]: numbers, imagenet or 0-255."),
    ] = None,
    std: Annotated[str | None, foreign_option(metavar="NUMBERS", help="See --mean.")] = None,
    bgr: Annotated[bool, foreign_option("--bgr", help="It takes blue, green, red.")] = False,
    class_names: Annotated[str | None, foreign_option(metavar="NAMES", help="a,b,c or a file with one on each line.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")] = False,
) -> None:
    """Run images of any size through an artifact, and write one file for each.

    Segmentation writes NAME.mask.png, a PNG of class indices in the classes' colours. Classification prints the five likeliest
    classes and writes NAME.classes.json. A denoiser writes the mask of its --prompt.

    Images are streamed tile by tile in constant memory. One that cannot be run does not end the others: the exit code is 3
    then. Needs the artifact's runtime, not torch.
    """
    said = {"input_size": input_size, "mean": mean, "std": std, "bgr": bgr, "class_names": class_names}
    with console.Steps(silent=json) as shown:
        from onenet.runtimes.run import run

        results = run(
            artifact,
            images,
            out=out,
            fit=cast("Fit", fit),
            threads=threads,
            runtime=runtime,
            prompt=prompt,
            steps=steps,
            seed=seed,
            elsewhere=elsewhere(said),
            progress=shown,
        )
    peak = peak_bytes()
    if json:
        rows = [each.as_dict() for each in (*results, *results.failed)]
        about = {"artifact": artifact.name, "runtime": results.runtime.as_dict(), "threads": threads}
        console.print_json({**about, "peak_memory_bytes": peak, "images": rows})
    else:
        console.print_run(results, peak)
    if results.failed:
        raise typer.Exit(ToolError.exit_code)
