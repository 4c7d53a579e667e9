"""Images of any size through an artifact: one file each, of the kind that the artifact's task writes. Needs no torch."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from onenet.base.arrays import Array
from onenet.base.files import check_folder
from onenet.base.images import find_images, read_image
from onenet.base.progress import Progress
from onenet.base.quiet import quiet
from onenet.base.text import shape_text
from onenet.errors import CheckError, OneNetError, RequestError
from onenet.runtimes.artifact import Artifact, open_artifact
from onenet.runtimes.foreign import Elsewhere, is_foreign, open_elsewhere
from onenet.runtimes.parity import check_bytes
from onenet.runtimes.sampler import DENOISER, STEPS, as_segmentation
from onenet.runtimes.session import RuntimeInfo
from onenet.runtimes.verify import verify
from onenet.tasks import TASKS, Task, task_of
from onenet.tasks.image import Fit, ImageModel, check_fit

LARGEST_SHOWN = 4 << 20
"""Bytes of a picture that a notebook is given."""


@dataclass(frozen=True)
class RunResult:
    """What was made of one image. What the artifact says of it is in ``file``."""

    image: Path
    file: Path
    kind: str
    """What the file is: the task's ``file_key``."""
    size: tuple[int, int]
    """Height and width of the image."""
    run_as: str
    """``whole``, ``12 tiles of 64x64`` or ``resized to 256x256``."""
    resized: bool
    tiles: int
    tile: tuple[int, int]
    halo: tuple[int | None, int | None] | None
    """Rows and columns cut off each tile, where there are several; None for an axis that is never cut."""
    seconds: float
    """Reading, running and writing."""
    answer: Mapping[str, object] = field(default_factory=dict)
    """What the file holds, where that is little."""
    lines: tuple[str, ...] = ()
    """The same for people."""

    def as_dict(self) -> dict[str, object]:
        """As ``onenet run --json`` prints it."""
        return {
            "image": str(self.image),
            "size": list(self.size),
            "run_as": self.run_as,
            "resized": self.resized,
            "tiles": self.tiles,
            "tile": list(self.tile),
            "halo": list(self.halo) if self.halo else None,
            "seconds": round(self.seconds, 3),
            self.kind: str(self.file),
            **self.answer,
        }

    def __repr__(self) -> str:
        text = "".join(f"; {line}" for line in self.lines[:1])
        return f"<{self.image} ({shape_text(self.size)}, {self.run_as}) -> {self.file}{text}>"

    def _repr_html_(self) -> str:
        """The file as a picture, where it is one, and what it says."""
        text = "<br>".join(escape(line) for line in (str(self.file), *self.lines))
        if self.file.suffix != ".png" or not self.file.is_file() or self.file.stat().st_size > LARGEST_SHOWN:
            return f"<p>{text}</p>"
        data = base64.b64encode(self.file.read_bytes()).decode()
        return f'<figure><img src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'


@dataclass(frozen=True)
class RunFailure:
    """An image of several of which nothing was made."""

    image: Path
    error: OneNetError
    """What ``run`` raises of it where it is the only one."""

    def as_dict(self) -> dict[str, object]:
        """As ``onenet run --json`` prints it."""
        return {"image": str(self.image), "failed": {"error": type(self.error).__name__, "reason": str(self.error)}}


class RunResults(list[RunResult]):
    """The results of one run, in the order of the images."""

    def __init__(self, results: Iterable[RunResult], runtime: RuntimeInfo, failed: Sequence[RunFailure] = ()) -> None:
        super().__init__(results)
        self.runtime = runtime
        """What computed them."""
        self.failed = tuple(failed)
        """The images of which nothing was made."""

    def __repr__(self) -> str:
        rows = [*map(repr, self), *(f"<{each.image}: {each.error}>" for each in self.failed)]
        return "[" + ",\n ".join(rows) + "]"

    def _repr_html_(self) -> str:
        return "".join(each._repr_html_() for each in self)


def run(
    artifact: Path | str,
    images: Path | str | Iterable[Path | str],
    *,
    out: Path | str | None = None,
    fit: Fit = "auto",
    threads: int | None = None,
    runtime: str | None = None,
    prompt: str | None = None,
    steps: int = STEPS,
    seed: int = 0,
    elsewhere: Elsewhere | None = None,
    progress: Progress | None = None,
) -> RunResults:
    """Run images through an artifact, one after the other, in constant memory, and write a file for each.

    Of several images one that cannot be run is no end of the others: it is one of the results' ``failed``.

    Args:
        artifact: made by ``export``, for a task that has something to write; or by another tool, see ``elsewhere``.
        images: images of any size, or folders of them.
        out: folder for the files; beside each image unless given.
        fit: how an image of another size than the model's is run: ``tile`` keeps its scale and gives the result of the
            whole image, ``resize`` stretches it, ``auto`` tiles where that is exact and else resizes.
        threads: of the runtime; its own choice unless given.
        runtime: the runtime's name; the first that opens the format and is installed unless given.
        prompt: of a denoiser, the text whose mask is made; one of those that it was exported with.
        steps: of a denoiser, for each image.
        seed: of the noise that a denoiser begins with.
        elsewhere: of a file that onenet did not make, how it takes its image.
        progress: told of every step, and of what should be known.

    Raises:
        RequestError: no image, a single image that cannot be read, an artifact that does something else, an unknown ``fit``,
            or a folder that cannot be written.
        CheckError: the artifact is damaged.
        ToolError: its runtime is missing or failed.
    """
    check_fit(fit)
    path, shown = Path(artifact), progress or Progress()
    sources = images_in([images] if isinstance(images, (str, Path)) else images)
    shown.start(f"opening {path.name}")
    if is_foreign(path):
        opened, task, model = open_elsewhere(path, threads, runtime, elsewhere or Elsewhere())
    elif elsewhere is not None:
        raise RequestError(f"{path.name} was made by onenet, and says itself how it takes its image; leave that out")
    else:
        opened, task, model = open_for_run(path, threads, runtime, shown, lambda found: what_runs(found, prompt, steps, seed))
    files = files_of(sources, task, None if out is None else Path(out))
    results, failed = list[RunResult](), list[RunFailure]()
    for image, file in files.items():
        try:
            results.append(run_image(task, model, image, file, fit, shown))
        except OneNetError as error:
            if len(files) == 1:
                raise
            failed.append(RunFailure(image, error))
            shown.warn(f"{image.name}: {error}")
    return RunResults(results, opened.session.runtime, failed)


def what_runs(artifact: Artifact, prompt: str | None, steps: int, seed: int) -> tuple[Task, ImageModel]:
    """The task of an artifact, and a model of one image for it; of a denoiser, with its sampler, a segmentation.

    Raises:
        RequestError: a prompt for what is no denoiser, or one that the denoiser does not know.
    """
    if artifact.manifest.task == DENOISER:
        return task_of("segmentation"), as_segmentation(artifact, prompt, steps, seed)
    if prompt is not None:
        raise RequestError(f"{artifact.path.name} takes no prompt: it is no {DENOISER}")
    return task_of(artifact.manifest.task), image_model(artifact)


def images_in(sources: Iterable[Path | str]) -> list[Path]:
    """Images as they are given, and those in folders but for what earlier runs wrote there.

    Raises:
        RequestError: a folder without images, or an image that does not exist.
    """
    written = tuple(task.suffix for task in TASKS.cards().values() if task.suffix)
    found: list[Path] = []
    for source in map(Path, sources):
        images = [p for p in find_images(source) if not p.name.endswith(written)] if source.is_dir() else [source]
        if not images:
            raise RequestError(f"{source} holds no image")
        if not source.exists():
            raise RequestError(f"image {source} does not exist")
        found += images
    return list(dict.fromkeys(found))


def files_of(images: Iterable[Path], task: Task, out: Path | None) -> dict[Path, Path]:
    """Each image and what is written for it: its stem and the task's suffix, beside it or in ``out``.

    Raises:
        RequestError: two files of one name, or a folder that cannot be written.
    """
    files = {image: (out or image.parent) / (image.stem + task.suffix) for image in images}
    names: dict[Path, Path] = {}
    for image, file in files.items():
        other = names.setdefault(file, image)
        if other != image:
            raise RequestError(f"the results of {other} and {image} would both be {file}; run them with different --out")
    for folder in {file.parent for file in files.values()}:
        check_folder(folder)
    return files


def open_for_run(
    path: Path,
    threads: int | None,
    runtime: str | None,
    progress: Progress,
    seen: Callable[[Artifact], tuple[Task, ImageModel]],
) -> tuple[Artifact, Task, ImageModel]:
    """The artifact, and what ``seen`` makes of it; in exact arithmetic where this CPU's int8 kernels would saturate.

    Raises:
        CheckError: it is not the file that the manifest beside it describes, or a file without one fails its check.
        RequestError: it cannot be run here, or its task does not run images.
    """
    with quiet():
        if not check_bytes(path).passed:  # runtimes do not survive every damaged file: another process tries it first
            refuse_failed(path, threads, runtime)
        artifact = open_artifact(path, threads, runtime=runtime)
        if not artifact.session.runs_here:
            raise RequestError(f"{path.name} cannot be run here: {artifact.session.runtime.kernels}")
        task, model = seen(artifact)
        task.check_runs(model)
        saturates = artifact.session.may_saturate
        if saturates:
            artifact = open_artifact(path, threads, runtime=runtime, exact_int8=True)
            task, model = seen(artifact)
    if saturates:
        progress.warn("this CPU has no VNNI and onnxruntime's int8 kernels saturate on it: computing in float, which is slower")
    return artifact, task, model


def refuse_failed(path: Path, threads: int | None, runtime: str | None) -> None:
    """Verify an artifact before it is run. Raises CheckError with the first check that failed."""
    result = verify(path, threads, runtime)
    failed = next((check for check in result.checks if check.passed is False), None)
    if failed is not None:
        raise CheckError(f"{path.name} failed its check of {failed.name}: {failed.detail}")


def image_model(artifact: Artifact) -> ImageModel:
    """An artifact of one image as its task runs it."""
    feed, output = artifact.inputs[0], artifact.outputs[0]

    def compute(batch: Array) -> Array:
        return artifact.run({feed.name: batch})[output.name]

    inputs = tuple(each.canonical() for each in artifact.inputs)
    manifest = artifact.manifest
    name, made = artifact.path.name, output.canonical()
    return ImageModel(name, inputs, made, manifest.classes, artifact.tiling, compute, manifest.threshold)


def run_image(task: Task, model: ImageModel, image: Path, file: Path, fit: Fit, progress: Progress) -> RunResult:
    """Read, run and write one image."""
    began = time.monotonic()
    pixels = read_image(image)
    size = (pixels.shape[0], pixels.shape[1])
    plan = task.plan(model, size, fit)
    if plan.resized and plan.reason:
        stretched = f"{image.name} is stretched to {shape_text(plan.grid.size)} and its {task.file_key} back"
        progress.warn(f"{stretched}: {plan.reason}")
    tiles, halo = len(plan.grid), model.tiling.halo if model.tiling else None
    progress.start(f"{image.name}: {shape_text(size)}, {plan.text}", total=tiles)
    prediction = task.predict(model, pixels, plan, progress.advance)
    prediction.write(file)
    return RunResult(
        image,
        file,
        task.file_key,
        size,
        plan.text,
        plan.resized,
        tiles,
        plan.grid.tile,
        halo if tiles > 1 and not plan.resized else None,
        time.monotonic() - began,
        prediction.as_dict(),
        prediction.lines(),
    )
