"""An artifact that stays open: one picture after the other, as an app or a camera brings them. Needs no torch."""

from __future__ import annotations

from pathlib import Path

from onenet.base.images import Pixels, read_image
from onenet.base.progress import Progress
from onenet.errors import RequestError
from onenet.runtimes.run import open_for_run, what_runs
from onenet.runtimes.sampler import STEPS
from onenet.runtimes.session import RuntimeInfo
from onenet.spec import ClassSpec
from onenet.tasks import Task
from onenet.tasks.image import Fit, ImageModel, Prediction


class Predictor:
    """An open artifact; ``open_model`` makes it."""

    def __init__(self, task: Task, model: ImageModel, runtime: RuntimeInfo) -> None:
        self.task, self.model = task, model
        self.runtime = runtime
        """What computes."""

    @property
    def classes(self) -> tuple[ClassSpec, ...]:
        """Names and colours of the classes, as the manifest has them."""
        return self.model.classes

    def predict(self, image: Pixels | Path | str, fit: Fit = "auto") -> Prediction:
        """What the model says of one picture.

        Args:
            image: upright pixels (H, W, 3) uint8 RGB of any size, or a file of them.
            fit: as ``onenet.run`` takes it.

        Returns:
            Of a segmentation a ``Mask``: ``labels`` (H, W) uint8, ``overlay`` and ``shares``.

        Raises:
            RequestError: an image that cannot be read, other pixels, or a ``fit`` that cannot be done for it.
            ToolError: the runtime failed.
        """
        pixels = read_image(image) if isinstance(image, (str, Path)) else image
        if pixels.dtype != "uint8" or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
            raise RequestError(f"pixels are {pixels.dtype} {pixels.shape}; expected uint8 (H, W, 3)")
        size = (pixels.shape[0], pixels.shape[1])
        return self.task.predict(self.model, pixels, self.task.plan(self.model, size, fit))


def open_model(
    artifact: Path | str,
    *,
    threads: int | None = None,
    runtime: str | None = None,
    prompt: str | None = None,
    steps: int = STEPS,
    seed: int = 0,
) -> Predictor:
    """Open an artifact to run pictures through it, one after the other: ``open_model(FILE).predict(pixels)``.

    Args:
        artifact: made by ``export``, for a task of one image. Its manifest is checked against the file.
        threads: of the runtime; its own choice unless given.
        runtime: the runtime's name; the first that opens the format and is installed unless given.
        prompt: of a denoiser, the text whose mask is made; one of those that it was exported with.
        steps: of a denoiser, for each image.
        seed: of the noise that a denoiser begins with.

    Raises:
        RequestError: no such file, or an artifact that does something else.
        CheckError: the artifact is damaged.
        ToolError: its runtime is missing or cannot load it.
    """
    path = Path(artifact)
    opened, task, model = open_for_run(path, threads, runtime, Progress(), lambda found: what_runs(found, prompt, steps, seed))
    return Predictor(task, model, opened.session.runtime)
