"""The command line: thin over ``onenet.build``, ``lower``, ``calibrate``, ``export`` and ``verify``.

Exit codes: 0 done, 1 a check failed, 2 the request is wrong, 3 a tool or device failed, 130 interrupted.
"""

from __future__ import annotations

import errno
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from onenet.errors import OneNetError, RequestError, ToolError

F = TypeVar("F", bound=Callable[..., Any])

app = typer.Typer(
    name="onenet",
    help="Export a segmentation network to TFLite, ONNX and Core ML, with one int8 calibration and every artifact checked.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
models_app = typer.Typer(help="List the models that can be exported, or show one.", invoke_without_command=True)
app.add_typer(models_app, name="models")


def one_line_errors(function: F) -> F:
    """A user's mistake is one line on stderr and an exit code, never a traceback."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except OneNetError as error:
            fail(str(error))
            raise typer.Exit(error.exit_code) from None
        except OSError as error:  # a file system that fails where nothing nearer expects it; a closed pipe is typer's
            if error.errno == errno.EPIPE:
                raise
            fail(f"{error.filename or 'the file system'}: {error.strerror or error}")
            raise typer.Exit(ToolError.exit_code) from None
        except KeyboardInterrupt:
            typer.secho("interrupted: nothing half-written was left behind", fg="red", err=True)
            raise typer.Exit(130) from None

    return wrapped  # type: ignore[return-value]  # the wrapper has the same signature


def fail(text: str) -> None:
    """One line, whatever a file name or another library's message holds."""
    typer.secho("error: " + " ".join(text.split()), fg="red", err=True)


what = functools.partial(typer.Option, rich_help_panel="What to export")
how = functools.partial(typer.Option, rich_help_panel="How to export it")
quantize = functools.partial(typer.Option, rich_help_panel="How to quantize it (int8)")
where = functools.partial(typer.Option, rich_help_panel="Result")
on = functools.partial(typer.Option, rich_help_panel="Where")
measured = functools.partial(typer.Option, rich_help_panel="How to measure")
campaign = functools.partial(typer.Option, rich_help_panel="Campaign")
rebuilt = functools.partial(typer.Option, rich_help_panel="Layer by layer")
MODEL_HELP = "A name from `onenet models`, or path/to/file.py:factory for any other network."
EXPORT_HELP = (
    "Export a trained network as verified TFLite, ONNX or Core ML files.\n\n"
    "Without options it exports the shipped nuclei segmentation model. The network is lowered exactly, quantized once for "
    "all targets, converted, run against the float model, and written with a manifest."
)
EXPORT_EPILOG = "Example:  onenet-export --target tflite --int8"


@app.command("export", help=EXPORT_HELP, epilog=EXPORT_EPILOG)
@one_line_errors
def export_command(
    target: Annotated[
        list[str] | None,
        how("--target", "-t", metavar="NAME", help="tflite, onnx or coreml; repeat for several. Default: tflite."),
    ] = None,
    precision: Annotated[
        list[str] | None,
        how(
            "--precision",
            "-p",
            metavar="NAME",
            help="fp32, fp16, int8 or w8 (int8 weights); repeat for several. Default: fp32.",
        ),
    ] = None,
    int8: Annotated[bool, how("--int8", help="Short for --precision int8.")] = False,
    io: Annotated[str, how(metavar="TYPE", help="float, or int8 for integer inputs and outputs (TFLite, ONNX).")] = "float",
    output: Annotated[str, how(metavar="ROLE", help="What the network returns: logits, probabilities or labels.")] = "logits",
    winograd: Annotated[
        bool,
        how(
            "--winograd/--no-winograd",
            help="In fp32, wide 3x3 convolutions by Winograd's method: faster, and a larger file.",
        ),
    ] = True,
    calibration: Annotated[
        Path | None,
        quantize(metavar="PATH", help="Images: a folder or an .npz; or a record (.json). Default: 32 shipped images."),
    ] = None,
    calibration_samples: Annotated[
        int, quantize(metavar="N", min=1, help="Use at most this many, evenly spaced by name.")
    ] = 32,
    calibration_record: Annotated[
        Path | None,
        quantize(metavar="FILE", help="Write what was seen and decided; --calibration FILE repeats it without the images."),
    ] = None,
    estimator: Annotated[
        str | None,
        quantize(metavar="NAME", help="How a range follows from the values seen: mse (default), min-max, percentile, entropy."),
    ] = None,
    recipe: Annotated[
        Path | None, quantize(metavar="FILE", help="JSON rules that say which layers are int8, w8 or float.")
    ] = None,
    max_drop: Annotated[
        float | None,
        quantize(metavar="POINTS", min=0, help="Keep the fewest layers in float that hold the drop of mIoU to this."),
    ] = None,
    min_sqnr: Annotated[
        float | None,
        quantize(metavar="DB", help="Keep the fewest layers in float that reach this SQNR; needs no masks."),
    ] = None,
    x86_safe: Annotated[
        str,
        quantize(
            metavar="WHEN",
            help="yes, no or auto: weights within ±63, right in onnxruntime on x86 CPUs without VNNI. auto: ONNX alone, made "
            "on such a CPU.",
        ),
    ] = "auto",
    model: Annotated[str, what("--model", "-m", metavar="MODEL", help=MODEL_HELP)] = "onenet-ed4",
    weights: Annotated[
        Path | None, what(metavar="FILE", help="State dict: .safetensors, .pt or .pth. Default: the shipped one.")
    ] = None,
    random_weights: Annotated[bool, what("--random-weights", help="Export an untrained network (for benchmarks).")] = False,
    config: Annotated[Path | None, what(metavar="FILE", help="YAML configuration of the official repository.")] = None,
    width: Annotated[int | None, what(metavar="N", min=1, help="Channels at full resolution.")] = None,
    classes: Annotated[int | None, what(metavar="N", min=1, help="Number of classes.")] = None,
    kernel: Annotated[int | None, what(metavar="N", min=1, help="Length of the spatial 1D convolution (odd).")] = None,
    no_spatial: Annotated[bool, what("--no-spatial", help="No spatial convolution.")] = False,
    input_size: Annotated[
        tuple[int, int] | None, what(metavar="H W", help="Height and width of the images. Default: 256 256.")
    ] = None,
    tile: Annotated[
        int | None,
        what(metavar="N", help="Take N x N pieces of images of --input-size, for `onenet run` on images of any size."),
    ] = None,
    out: Annotated[Path, where("--out", "-o", metavar="DIR", help="Folder for the artifacts.")] = Path("build"),
    evaluation: Annotated[
        Path | None,
        where(metavar="DIR", help="Images to compare with the float model on; with images/ and labels/, mIoU as well."),
    ] = None,
    preview: Annotated[bool, where("--preview/--no-preview", help="Draw what the artifact predicts, beside it.")] = False,
    verify: Annotated[bool, where("--verify/--no-verify", help="Check each artifact before it is written.")] = True,
    json: Annotated[bool, where("--json", help="Print one JSON document instead of tables.")] = False,
) -> None:
    """See ``EXPORT_HELP``."""
    from onenet.cli import export as command_export
    from onenet.cli import quantize as command_quantize

    if no_spatial and kernel is not None:
        raise RequestError("--kernel and --no-spatial exclude each other; give one of them")
    request = command_export.Request(
        targets=target or ["tflite"],
        precisions=[*(precision or []), *(["int8"] if int8 else [])] or ["fp32"],
        io=io,
        quantize=command_quantize.QuantizeRequest(
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
    command_export.run(request)


@app.command("verify", epilog="Example:  onenet verify build/onenet-ed4_int8.tflite")
@one_line_errors
def verify_command(
    artifacts: Annotated[list[Path], typer.Argument(metavar="ARTIFACT", help=".tflite, .onnx or .mlpackage made by onenet.")],
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of the runtime. Default: its own choice.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")] = False,
    layers: Annotated[
        bool, rebuilt("--layers", help="Compare every layer with the network that the artifact was made of; needs PyTorch.")
    ] = False,
    every: Annotated[bool, rebuilt("--all", help="Show every layer, not only the wrong and the worst.")] = False,
    model: Annotated[
        str | None, rebuilt("--model", "-m", metavar="FILE.py:FACTORY", help="The network, where it is not one of ours.")
    ] = None,
    weights: Annotated[Path | None, rebuilt(metavar="FILE", help="Its state dict, where that was not shipped.")] = None,
    config: Annotated[Path | None, rebuilt(metavar="FILE", help="Its YAML configuration, where there was one.")] = None,
    calibration: Annotated[
        Path | None, rebuilt(metavar="FILE", help="Its calibration record, where ARTIFACT.json does not lie beside it.")
    ] = None,
) -> None:
    """Check artifacts alone: bytes, names, shapes and the golden pair inside. Needs their runtime, not torch.

    With --layers it also says which layer is the first that goes wrong, and writes ARTIFACT.layers.json and .layers.png.
    """
    from onenet.cli import verify as command_verify

    given = {"--all": every or None, "--model": model, "--weights": weights, "--config": config, "--calibration": calibration}
    unused = [name for name, value in given.items() if value is not None]
    if unused and not layers:
        raise RequestError(f"{unused[0]} belongs to --layers; give both")
    request = command_verify.LayersRequest(every, model, weights, config, calibration) if layers else None
    if not command_verify.run(artifacts, threads, request, json):
        raise typer.Exit(1)


@app.command("run", epilog="Example:  onenet run build/onenet-ed4_int8_tile64.tflite photo.jpg")
@one_line_errors
def run_command(
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
    from onenet.cli import run as command_run
    from onenet.runtimes.segment import FITS

    if fit not in FITS:
        raise RequestError(f"fit {fit!r} is not known; supported: {', '.join(FITS)}")
    command_run.run(artifact, images, out, fit, threads, json)


@app.command("bench", epilog="Example:  onenet bench build/*.tflite --device local --device ssh:pi@raspberrypi --threads 1,4")
@one_line_errors
def bench_command(
    artifacts: Annotated[list[Path] | None, typer.Argument(metavar="ARTIFACT", help=".tflite or .onnx made by onenet.")] = None,
    device: Annotated[
        list[str] | None,
        on(
            "--device",
            "-d",
            metavar="DEVICE",
            help="local (default), ssh:\\[user@]host[:port], adb[:serial] or browser; repeat for several: they are measured "
            "side by side.",
        ),
    ] = None,
    runtime: Annotated[
        list[str] | None,
        on(metavar="NAME", help="Interpreter where a device has two: ai-edge-litert, tflite-runtime, benchmark_model."),
    ] = None,
    threads: Annotated[str | None, measured(metavar="N,N", help="A row for each. Default: all cores of the device.")] = None,
    runs: Annotated[int | None, measured(metavar="N", min=1, help="At least so many in a round. Default: 30.")] = None,
    seconds: Annotated[float | None, measured(metavar="S", min=0, help="At least so long a round. Default: 1.")] = None,
    rounds: Annotated[
        int | None, measured(metavar="N", min=1, help="Processes; each loads the artifact anew. Default: 3.")
    ] = None,
    cores: Annotated[str | None, measured(metavar="N,N", help="Bind to these CPU cores.")] = None,
    sustained: Annotated[
        float | None, measured(metavar="MIN", min=0, help="Then run for so many minutes, with a figure for each.")
    ] = None,
    profile: Annotated[bool, measured("--profile", help="Time every operator (onnxruntime).")] = False,
    timeout: Annotated[
        float | None, measured(metavar="S", min=1, help="Give an artifact up after so long. Default: 600.")
    ] = None,
    matrix: Annotated[
        Path | None, campaign(metavar="FILE.toml", help="A campaign: what to export, what to measure, where. It is resumed.")
    ] = None,
    again: Annotated[bool, campaign("--again", help="Measure finished cells of a campaign as well.")] = False,
    executor: Annotated[str, campaign(metavar="WHERE", help="Where its exports run: local, ray or ray://HOST:PORT.")] = "local",
    budget: Annotated[
        Path | None, where(metavar="FILE.toml", help="Limits; exit code 1 where one is not held. See docs/reports.md.")
    ] = None,
    out: Annotated[Path, where("--out", "-o", metavar="DIR", help="Folder for the documents.")] = Path("build/measurements"),
    json: Annotated[bool, where("--json", help="Print one JSON document instead of tables.")] = False,
) -> None:
    """Measure artifacts on devices: the golden pair is checked there, then latency, memory and load time.

    Writes one document for each artifact and device, for `onenet report` and `onenet compare`.
    """
    need("device", "pydantic")
    from onenet.cli import bench as command_bench

    if bool(artifacts) == bool(matrix):
        raise RequestError("give artifacts to measure, or a campaign with --matrix; one of them")
    given = {
        "threads": numbers(threads, "threads"),
        "runs": runs,
        "seconds": seconds,
        "rounds": rounds,
        "cores": numbers(cores, "cores"),
        "sustained_minutes": sustained,
        "profile": profile or None,
        "timeout": timeout,
    }
    code = command_bench.run(
        command_bench.Request(
            artifacts=artifacts or [],
            devices=device or [],
            runtimes=runtime or [],
            plan={name: value for name, value in given.items() if value is not None},
            out=out,
            matrix=matrix,
            executor=executor,
            again=again or matrix is None,
            budget=budget,
            json=json,
        )
    )
    if code:
        raise typer.Exit(code)


@app.command("report", epilog="Example:  onenet report build/measurements --artifacts build --out build/report")
@one_line_errors
def report_command(
    documents: Annotated[
        list[Path], typer.Argument(metavar="DOCUMENTS", help="Documents of `onenet bench`, or folders that hold them.")
    ],
    artifacts: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the artifacts: shows their pictures and their profiles layer by layer."),
    ] = None,
    budget: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Limits; exit code 1 where one is not held. See docs/reports.md.")
    ] = None,
    form: Annotated[
        str, typer.Option("--format", metavar="NAMES", help="Of html, md, csv, json, with commas. Default: html.")
    ] = "html",
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the report.")] = Path("build/report"),
    json: Annotated[bool, typer.Option("--json", help="Print the merged documents instead of a summary.")] = False,
) -> None:
    """Make one page of measurements, which works offline, and tables."""
    need("report", "pydantic", "jinja2")
    from onenet.cli import report as command_report

    if not command_report.run(documents, out, form, budget, artifacts, json):
        raise typer.Exit(1)


@app.command("compare", epilog="Example:  onenet compare main/measurements build/measurements --fail-above 5%")
@one_line_errors
def compare_command(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="A document of `onenet bench`, or a folder of them.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="What is compared with it: the same artifacts, later.")],
    fail_above: Annotated[
        str, typer.Option(metavar="PERCENT", help="Exit code 1 where something got worse by more than this.")
    ] = "5%",
    alpha: Annotated[float, typer.Option(metavar="P", help="Chance of calling a row different that is not.")] = 0.01,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")] = False,
) -> None:
    """Say what got slower, larger or less accurate between two measurements, and whether that is more than noise."""
    need("report", "pydantic", "scipy")
    from onenet.cli import compare as command_compare

    if not command_compare.run(base, new, fail_above, alpha, json):
        raise typer.Exit(1)


def need(extra: str, *packages: str) -> None:
    """
    Raises:
        ToolError: a package is missing; says which extra brings it.
    """
    from onenet.base.host import require

    for package in packages:
        require(package, extra)


def numbers(text: str | None, what: str) -> tuple[int, ...] | None:
    """``1,2,4``."""
    try:
        return None if text is None else tuple(int(each) for each in text.split(","))
    except ValueError:
        raise RequestError(f"--{what} {text!a:.100} is no list of numbers; write 1 or 1,2,4") from None


@models_app.callback()
@one_line_errors
def models_command(context: typer.Context) -> None:
    """List the models that can be exported."""
    if context.invoked_subcommand is None:
        from onenet.cli import console

        console.print_models()


@models_app.command("show", epilog="Example:  onenet models show onenet-ed4 --lowering")
@one_line_errors
def models_show_command(
    name: Annotated[str, typer.Argument(help=MODEL_HELP)],
    lowering: Annotated[bool, typer.Option("--lowering", help="List the exact rewrites applied and declined.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")] = False,
) -> None:
    """Show a model's signature, size and, with --lowering, what the exact rewrites do to it."""
    from onenet.cli import models as command_show

    command_show.run(name, lowering, json)


@app.command("doctor", epilog="Example:  onenet doctor --device ssh:pi@raspberrypi")
@one_line_errors
def doctor_command(
    device: Annotated[
        list[str] | None,
        typer.Option(
            "--device", "-d", metavar="DEVICE", help="Look at a device instead; as in `onenet bench`. Repeat for several."
        ),
    ] = None,
    set_up: Annotated[
        bool, typer.Option("--setup", help="Install what is missing there, into a folder of onenet's own.")
    ] = False,
    clean: Annotated[bool, typer.Option("--clean", help="Remove everything that onenet ever put there.")] = False,
) -> None:
    """Say what this machine can export and run, or what a device can measure, and what is missing."""
    if not device and (set_up or clean):
        raise RequestError(f"{'--setup' if set_up else '--clean'} is done to a device; give --device as well")
    if device:
        from onenet.cli import doctor_devices

        healthy = doctor_devices.run_devices(device, set_up, clean)
    else:
        from onenet.cli import doctor

        healthy = doctor.run()
    if not healthy:
        raise typer.Exit(3)


def version_callback(value: bool) -> None:
    if value:
        from onenet import __version__

        typer.echo(f"onenet {__version__}")
        raise typer.Exit


@app.callback()
def main_callback(
    version: Annotated[  # typer calls the callback; the value is not needed here
        bool, typer.Option("--version", callback=version_callback, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point of ``onenet``."""
    app()


def export_main() -> None:
    """Entry point of ``onenet-export``: ``onenet export`` under a name of its own."""
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
    alone.command(name="onenet-export", help=EXPORT_HELP, epilog=EXPORT_EPILOG)(export_command)
    alone(prog_name=Path(sys.argv[0]).name)


if __name__ == "__main__":
    main()
