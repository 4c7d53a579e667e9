"""``onenet verify``: check artifacts alone, or with ``--layers`` beside the network that they were made of."""

from __future__ import annotations

import functools
import json as json_text
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from onenet.base.files import check_folder, publish, temporary_folder
from onenet.base.quiet import quiet
from onenet.cli import console
from onenet.cli.shared import one_of, runtime_help
from onenet.errors import RequestError, ToolError
from onenet.targets import suffixes, title_of

if TYPE_CHECKING:
    from rich.table import Table

    from onenet.exporters.job import Job
    from onenet.runtimes.layers import Layer, Profile, Row
    from onenet.runtimes.parity import Verification

EXAMPLE = "onenet verify build/onenet-ed4_int8.tflite"
HINTS = {
    "bytes": "the file was changed after its export: take the original, or export it again",
    "structure": "copy the whole package again, with its weights folder",
    "inputs": "the file and its manifest do not belong together: export it again",
    "outputs": "the file and its manifest do not belong together: export it again",
    "values": "`onenet verify --layers` names the first layer that goes wrong; it needs PyTorch and the network",
}
"""What to try when a check fails, by the first word of its name."""
LAYER_HINT = "export it again; if it stays, a converter or a later tool changed this layer: report it with the .layers.json"
HIGHEST = 300.0
"""dB: more is what float32 cannot hold, so the values are equal."""
ROWS = 12
"""Layers that the table shows unless all are asked for."""
layer_option = functools.partial(typer.Option, rich_help_panel="Layer by layer")


def command(
    artifacts: Annotated[
        list[Path], typer.Argument(metavar="ARTIFACT", help=f"{one_of(list(suffixes().values()))} made by onenet.")
    ],
    threads: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Threads. Default: the choice of the runtime.")
    ] = None,
    runtime: Annotated[str | None, typer.Option(metavar="NAME", help=runtime_help())] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")] = False,
    layers: Annotated[
        bool,
        layer_option("--layers", help="Compare every layer with the network that the artifact was made of; needs PyTorch."),
    ] = False,
    every: Annotated[bool, layer_option("--all", help="Show every layer, not only the wrong and the worst.")] = False,
    model: Annotated[
        str | None, layer_option("--model", "-m", metavar="FILE.py:FACTORY", help="The network, where it is not one of ours.")
    ] = None,
    weights: Annotated[Path | None, layer_option(metavar="FILE", help="Its state dict, where that was not shipped.")] = None,
    config: Annotated[Path | None, layer_option(metavar="FILE", help="Its YAML configuration, where there was one.")] = None,
    calibration: Annotated[
        Path | None, layer_option(metavar="FILE", help="Its calibration record, where ARTIFACT.json does not lie beside it.")
    ] = None,
) -> None:
    """Check artifacts alone: bytes, names, shapes and the golden pair inside. Needs their runtime, not torch.

    With --layers it also says which layer is the first that goes wrong, and writes ARTIFACT.layers.json and .layers.png.
    """
    given = {"--all": every or None, "--model": model, "--weights": weights, "--config": config, "--calibration": calibration}
    unused = [name for name, value in given.items() if value is not None]
    if unused and not layers:
        raise RequestError(f"{unused[0]} belongs to --layers; give both")
    request = LayersRequest(every, model, weights, config, calibration) if layers else None
    if not run(artifacts, threads, runtime, request, json):
        raise typer.Exit(1)


@dataclass(frozen=True)
class LayersRequest:
    """The command's options for ``--layers``: what the artifact's manifest does not say by itself."""

    every: bool = False
    model: str | None = None
    weights: Path | None = None
    config: Path | None = None
    calibration: Path | None = None

    def rebuilt(self, path: Path) -> Job:
        """The job that made an artifact, with what was given here."""
        from onenet.exporters.rebuild import rebuild

        return rebuild(path, model=self.model, weights=self.weights, config=self.config, record=self.calibration)


def run(
    artifacts: Sequence[Path], threads: int | None, runtime: str | None, layers: LayersRequest | None, as_json: bool
) -> bool:
    """Check every artifact and print what was found; whether all of them passed."""
    from onenet.runtimes.verify import verify

    with quiet():
        results = [verify(path, threads, runtime) for path in artifacts]
    if not as_json:
        for result in results:
            console.print_verification(result)
            print_hints(result)
    profiles = [] if layers is None else compare_layers(readable(artifacts, results), runtime, layers, silent=as_json)
    if as_json:
        found = {profile.artifact: profile.as_dict() for profile in profiles}
        documents = [{**result.as_dict(), "hints": hints(result)} for result in results]
        extra = [{"layers": found.get(result.artifact)} if layers is not None else {} for result in results]
        console.print_json([{**document, **each} for document, each in zip(documents, extra, strict=True)])
    elif profiles:
        print_layers(profiles, layers is not None and layers.every)
    return all(result.passed for result in results) and all(profile.passed for profile in profiles)


def hints(result: Verification) -> list[str]:
    """What to try, once for each kind of failure."""
    failed = [check.name.split()[0] for check in result.checks if check.passed is False]
    return list(dict.fromkeys(HINTS[kind] for kind in failed if kind in HINTS))


def print_hints(result: Verification) -> None:
    """Print what to try, a line for each kind of failure."""
    for hint in hints(result):
        console.stdout().print(f"try: {hint}", style="yellow", markup=False, soft_wrap=True)


def readable(artifacts: Sequence[Path], results: Sequence[Verification]) -> list[Path]:
    """Those whose inputs and outputs are what their manifests say: others cannot be run beside a network."""
    needed = ("inputs", "outputs", "structure")
    broken = [any(check.name in needed and check.passed is False for check in result.checks) for result in results]
    return [path for path, is_broken in zip(artifacts, broken, strict=True) if not is_broken]


def compare_layers(artifacts: Sequence[Path], runtime: str | None, request: LayersRequest, *, silent: bool) -> list[Profile]:
    """The profile of each artifact, written beside it as ``ARTIFACT.layers.json``, and one picture of all beside the first."""
    from onenet.exporters.batch import need_converters

    for path in artifacts:
        check_folder(path.parent)
    profiles = []
    with console.Steps(silent=silent) as steps:
        steps.start("loading PyTorch")
        need_converters()
        from onenet.exporters.layers import profile

        for path in artifacts:
            steps.start(f"building the network of {path.name}")
            job = request.rebuilt(path)
            steps.start(f"comparing the layers of {path.name}")
            profiles.append(profile(job, path, runtime))
            write_json(path.with_name(path.name + ".layers.json"), profiles[-1].as_dict())
        if profiles:
            steps.start("drawing the profile")
            draw(artifacts[0].with_name(artifacts[0].name + ".layers.png"), profiles, steps)
    return profiles


def write_json(path: Path, content: dict[str, object]) -> None:
    """Write a JSON document whole or not at all."""
    with temporary_folder(path.parent) as folder:
        (folder / path.name).write_text(json_text.dumps(content, indent=1, sort_keys=True) + "\n")
        publish(folder / path.name, path)


def draw(path: Path, profiles: Sequence[Profile], steps: console.Steps) -> None:
    """Draw the profiles beside the first artifact; a missing matplotlib is a warning."""
    from onenet.runtimes.report.profile import draw_profiles

    try:
        draw_profiles(path, profiles, ", ".join(profile.artifact for profile in profiles))
    except ToolError as error:  # matplotlib is missing; the table and the JSON say the same
        steps.warn(f"no picture: {error}")


def print_layers(profiles: Sequence[Profile], every: bool) -> None:
    """One table of all artifacts, a row per layer; then a sentence per artifact."""
    from onenet.runtimes.layers import describe, side_by_side

    rows = side_by_side(profiles)
    shown = rows if every else worst(rows)
    out = console.stdout()
    out.print()
    out.print(layer_table(profiles, shown))
    out.print()
    out.print("SQNR in dB against the float network, on the golden image. off: from the", style="dim")
    out.print("reference, in int8 steps on average, in float at most. ✗: wrong by itself.", style="dim")
    if len(shown) < len(rows):
        out.print(f"{len(shown)} of {len(rows)} layers, the wrong and the worst; --all shows every one.", style="dim")
    some = [row.operators[0] for row in rows if None in row.layers]
    if some and not every:
        out.print(f"{len(some)} layers are not in every file: {', '.join(some[:3])}, ...", style="dim")
    for profile in profiles:
        colour = "green" if profile.passed else "red"
        out.print(f"{profile.artifact}: {describe(profile)}", style=colour, markup=False, soft_wrap=True)
    if not all(profile.passed for profile in profiles):
        out.print(f"try: {LAYER_HINT}", style="yellow", markup=False, soft_wrap=True)


def layer_table(profiles: Sequence[Profile], rows: Sequence[Row]) -> Table:
    """One row for each layer, two columns for each artifact."""
    simulated = any(layer.reference_float_db is not None for profile in profiles for layer in profile.layers)
    columns = ["int8 ref"] if simulated else []
    for profile in profiles:
        columns += [f"{title_of(profile.target)}\n{profile.precision}", "off"]
    table = console.plain_table("layer", *columns, right=columns)
    for row in rows:
        reference = [layer.reference_float_db for layer in row.layers if layer]
        cells = [decibels(next((each for each in reference if each is not None), None))] if simulated else []
        for layer in row.layers:
            cells += ["-", "-"] if layer is None else [decibels(layer.float_db), off(layer)]
        table.add_row(escape(", ".join(row.operators)), *cells)
    return table


def decibels(value: float | None) -> str:
    """SQNR with one digit; ``equal`` beyond what float32 tells apart."""
    return "-" if value is None else "equal" if value > HIGHEST else f"{value:.1f}"


def off(layer: Layer) -> str:
    """How far a layer is from the reference: in int8 steps on average, in float at most."""
    steps = layer.piled_up.mean_steps
    text = f"{layer.piled_up.relative:.0e}" if steps is None else f"{steps:.2f}"
    return f"[red]✗ {text}[/red]" if layer.wrong else text


def worst(rows: Sequence[Row]) -> list[Row]:
    """The first layers that are wrong, then those furthest from the float network; those that only move values are not."""
    wrong = [row for row in rows if any(layer and layer.wrong for layer in row.layers)][: ROWS // 2]
    others = [row for row in rows if row not in wrong and not all(layer is None or layer.moves for layer in row.layers)]
    others.sort(key=lambda row: min(HIGHEST if each is None or each.float_db is None else each.float_db for each in row.layers))
    chosen = [*wrong, *others[: ROWS - len(wrong)]]
    return [row for row in rows if row in chosen]
