"""Pictures of a folder, or of a camera, with the model's classes drawn over them.

    python3 segment.py onenet-ed4_int8.tflite photos/ --out seen
    python3 segment.py onenet-ed4_int8.tflite --camera --out seen

A folder gives NAME.overlay.png for each picture. A camera gives camera.jpg, written anew for each picture, and live.html that
shows it. Needs onenet with its `runtime` extra and nothing else. All that is known of the model comes from its manifest.
"""

from __future__ import annotations

import argparse
import io
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from PIL import Image

import onenet
from onenet.errors import OneNetError, RequestError, ToolError

PICTURES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
WRITTEN = ".overlay.png"
CAMERA = "rpicam-vid --nopreview --timeout 0 --codec mjpeg --quality 90 --width 640 --height 480 --framerate 10 --output -"
"""Raspberry Pi OS has it. What another camera needs is in README.md."""
BETWEEN = b"\xff\xd9\xff\xd8"
"""Of two JPEGs, one behind the other: the end of the first and the beginning of the second."""
BLOCK = 1 << 16
SHOWN_EVERY = 1.0
"""Seconds."""


def main() -> None:
    """Run what was asked for; an error is one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="made by onenet export, with MODEL.json beside it")
    parser.add_argument("pictures", type=Path, nargs="*", help="pictures, or folders of them")
    parser.add_argument("--camera", nargs="?", const=CAMERA, metavar="COMMAND", help="a program that writes JPEGs to stdout")
    parser.add_argument("--out", type=Path, default=Path("seen"), help="folder for what is drawn (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="of the runtime (default: its own choice)")
    options = parser.parse_args()
    if bool(options.pictures) == bool(options.camera):
        parser.error("give pictures, or --camera")
    try:
        segmenter = Segmenter(options.model, options.threads)
        options.out.mkdir(parents=True, exist_ok=True)
        if options.camera:
            watch(segmenter, options.camera, options.out)
        else:
            draw(segmenter, options.pictures, options.out)
        print(segmenter.summary())
    except (OneNetError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


class Segmenter:
    """A model, and how long it took for each picture."""

    def __init__(self, model: Path, threads: int | None) -> None:
        self.model = onenet.open_model(model, threads=threads)
        if self.model.task.name != "segmentation":
            raise RequestError(f"{model} is for {self.model.task.title}; only the classes of pixels can be drawn")
        self.seconds: list[float] = []

    def draw(self, pixels: np.ndarray) -> tuple[Image.Image, str]:
        """The picture (H, W, 3) under the classes' colours, and what was seen."""
        began = time.monotonic()
        mask = self.model.predict(pixels)
        self.seconds.append(time.monotonic() - began)
        shares = sorted(mask.shares().items(), key=lambda each: -each[1])
        text = ", ".join(f"{name} {share:.1%}" for name, share in shares if share)
        return Image.fromarray(mask.overlay(pixels)), f"{1000 * self.seconds[-1]:.0f} ms  {text}"

    def summary(self) -> str:
        """How many pictures it were, and how long they took from pixels to labels."""
        if not self.seconds:
            return "no picture"
        pictures = f"{len(self.seconds)} picture{'s' if len(self.seconds) > 1 else ''}"
        runtime = self.model.runtime
        return f"{pictures}, {1000 * statistics.median(self.seconds):.0f} ms each (median), {runtime.name} {runtime.version}"


def draw(segmenter: Segmenter, sources: list[Path], out: Path) -> None:
    """An overlay for each picture. One that cannot be read is told, and the others are drawn."""
    unread = []
    for path in pictures_in(sources):
        try:
            pixels = onenet.read_image(path)
        except RequestError as error:
            unread.append(f"{error}")
            continue
        picture, text = segmenter.draw(pixels)
        save(picture, out / f"{path.stem}{WRITTEN}")
        print(f"{path.name}  {picture.width}x{picture.height}  {text}", flush=True)
    if unread:
        raise RequestError("; ".join(unread))


def pictures_in(sources: list[Path]) -> list[Path]:
    """Pictures as they are named, and those of folders, in the order of their names.

    Raises:
        RequestError: there is none, or two would give one overlay.
    """
    found: dict[str, Path] = {}
    for source in sources:
        inside = sorted(source.iterdir()) if source.is_dir() else [source]
        for path in inside:
            named = not source.is_dir() or (path.suffix.lower() in PICTURES and not path.name.endswith(WRITTEN))
            if named and found.setdefault(path.stem, path) != path:
                raise RequestError(f"{found[path.stem]} and {path} would both be {path.stem}{WRITTEN}")
    if not found:
        raise RequestError(f"{', '.join(map(str, sources))}: there is no picture ({' '.join(PICTURES)})")
    return list(found.values())


def watch(segmenter: Segmenter, command: str, out: Path) -> None:
    """The camera's newest picture, again and again, until it ends or somebody presses Ctrl-C."""
    told = time.monotonic() - SHOWN_EVERY
    with tempfile.TemporaryFile() as said, Camera(command, said) as camera:
        shutil.copy(Path(__file__).with_name("live.html"), out)
        try:
            for data in camera:
                try:
                    with Image.open(io.BytesIO(data)) as frame:
                        pixels = np.asarray(frame.convert("RGB"))
                except (OSError, SyntaxError, ValueError):  # a part of it is lost: the next one comes
                    continue
                picture, text = segmenter.draw(pixels)
                save(picture, out / "camera.jpg")
                if time.monotonic() - told >= SHOWN_EVERY:
                    told = time.monotonic()
                    print(f"{picture.width}x{picture.height}  {text}", flush=True)
        except KeyboardInterrupt:
            print()


def save(picture: Image.Image, path: Path) -> None:
    """Whole or not at all: somebody may be looking."""
    temporary = path.with_name(f".{path.name}")
    picture.save(temporary, path.suffix[1:].replace("jpg", "jpeg"))
    os.replace(temporary, path)


class Camera:
    """The pictures of a program that writes one JPEG behind the other. Of several that wait, only the newest is given."""

    def __init__(self, command: str, said: IO[bytes]) -> None:
        self.command, self.said = shlex.split(command), said
        self.newest: bytes | None = None
        self.ended = False
        self.changed = threading.Condition()

    def __enter__(self) -> Camera:
        try:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.said, bufsize=0
            )
        except OSError as error:
            raise ToolError(f"{self.command[0]}: {error.strerror}; README.md says what each camera needs") from error
        threading.Thread(target=self.read, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.terminate()
        self.process.wait()

    def read(self) -> None:
        """Take pictures as they come, so that the program never waits; runs in a thread of its own."""
        assert self.process.stdout is not None
        waiting = b""
        while block := self.process.stdout.read(BLOCK):
            *whole, rest = (waiting + block).split(BETWEEN)
            if whole:
                self.take(BETWEEN[2:] + whole[-1].removeprefix(BETWEEN[2:]) + BETWEEN[:2])
            waiting = (BETWEEN[2:] if whole else b"") + rest
        self.take(waiting if waiting.endswith(BETWEEN[:2]) else b"", ended=True)

    def take(self, picture: bytes, *, ended: bool = False) -> None:
        """Have a picture ready."""
        with self.changed:
            self.newest, self.ended = picture or self.newest, ended
            self.changed.notify()

    def __iter__(self) -> Iterator[bytes]:
        """Each picture that is the newest when one is asked for.

        Raises:
            ToolError: the program failed.
        """
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.newest is not None or self.ended)
                picture, self.newest = self.newest, None
            if picture is None:
                break
            yield picture
        if self.process.wait():
            self.said.seek(0)
            lines = self.said.read().decode(errors="replace").strip().splitlines() or ["it said nothing"]
            raise ToolError(f"{self.command[0]} ended with {self.process.returncode}: {lines[-1]}")


if __name__ == "__main__":
    main()
