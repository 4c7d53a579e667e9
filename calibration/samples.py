"""Folders and archives of images to model inputs, one at a time: ten thousand images need the memory of one.

stream_samples(source)  what calibration reads      load_samples(source)    all of it in memory
                                                     load_labelled(folder)   with a mask for each image
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from onenet.base.arrays import Array
from onenet.base.images import (
    EXTENSIONS,
    Floats,
    ImageError,
    Pixels,
    check_request,
    decode,
    find_images,
    read_bytes,
    reason,
    to_input,
)
from onenet.errors import RequestError
from onenet.spec import ClassSpec
from onenet.tasks import TASKS


@dataclass(frozen=True, eq=False)
class Sample:
    """One model input and where it came from."""

    array: Floats
    """(C, H, W) in [0, 1]."""
    id: str
    """SHA-256: of the image file's bytes, or of the sample's bytes as an .npz stores it."""
    file: str
    """Base name; ``NAME.npz[3]`` for the fourth sample of an archive."""
    place: int = 0
    """Its position in the source, in name order."""


class SampleStream:
    """Samples read one by one, again for each iteration.

    ``len`` is how many are wanted, which unreadable files can undercut. ``skipped`` holds one line for each unreadable file
    that the last iteration met.
    """

    def __init__(self, name: str, count: int, read: Callable[[list[str]], Iterator[Sample]]) -> None:
        self.name, self.count, self.read = name, count, read
        self.skipped: list[str] = []

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Sample]:
        self.skipped.clear()
        return self.read(self.skipped)


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples in memory, in name order; ``ids`` and ``files`` as in ``Sample``, ``skipped`` as in ``SampleStream``."""

    name: str
    arrays: Floats
    """(N, C, H, W) in [0, 1]."""
    ids: tuple[str, ...]
    files: tuple[str, ...]
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.arrays)

    def __iter__(self) -> Iterator[Sample]:
        for place, (array, digest, file) in enumerate(zip(self.arrays, self.ids, self.files, strict=True)):
            yield Sample(array, digest, file, place)


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Samples with one label each. ``labels``: class indices, (N, H, W) for segmentation and (N,) for classification."""

    samples: Samples
    labels: Array


def stream_samples(source: Path, height: int, width: int, limit: int | None = None, channels: int = 3) -> SampleStream:
    """Samples (channels, height, width) from a folder of images, one image, or an .npz file.

    With more than ``limit`` images, an evenly spaced subset in name order is read; unreadable files are listed in
    ``skipped`` and others take their place. Images serve models with 1 or 3 input channels; an .npz holds one array (or
    one called ``images``): uint8 (N, H, W, 3), resized like files, or float in [0, 1] of exactly the model's size,
    (N, channels, height, width) or (N, height, width, 3). What can be known without reading it all is refused at once, the
    rest while iterating: RequestError (ImageError for a single bad image).
    """
    check_limit(limit)
    if source.suffix.lower() == ".npz" and not os.path.isdir(source):
        return stream_npz(source, height, width, limit, channels)
    check_request(height, width, channels)
    if os.path.isdir(source):
        return stream_folder(source, limit, lambda pixels: to_input(pixels, height, width, channels))
    if not os.path.lexists(source):
        raise RequestError(f"cannot find {source}: expected a folder of images, one image, or an .npz file")

    def read(_: list[str]) -> Iterator[Sample]:
        data = read_bytes(source, str(source))
        yield Sample(to_input(decode(data, str(source)), height, width, channels), sha256(data), source.name)

    return SampleStream(source.name, 1, read)


def load_samples(source: Path, height: int, width: int, limit: int | None = None, channels: int = 3) -> Samples:
    """All of ``stream_samples`` in memory, (N, channels, height, width), in name order."""
    stream = stream_samples(source, height, width, limit, channels)
    return collected(stream.name, stream, stream.skipped)


def load_labelled(
    folder: Path,
    height: int,
    width: int,
    limit: int | None = None,
    channels: int = 3,
    task: str = "segmentation",
    classes: Sequence[ClassSpec] = (),
) -> LabelledImages:
    """Images with their labels, as the task lays them out: for segmentation ``images/`` and ``labels/STEM.png``, one class
    index per pixel; for classification one sub-folder per class.

    Args:
        folder: the labelled folder.
        height, width: of the model's images, to which images and masks are resized.
        limit: at most so many images, evenly spaced by name.
        channels: 1 or 3.
        task: what the labels are for.
        classes: the model's, for a task whose folder names classes; without them classes are numbered in name order.

    Raises:
        RequestError: a label is missing, unreadable or of another size than its image; names its file.
    """
    check_limit(limit)
    check_request(height, width, channels)
    labels, skipped = TASKS.get(task, "task").open_labels(folder, classes), list[str]()
    found, truth = [], []
    for file in sorted(read_folder(labels.images, limit, skipped), key=lambda file: file.place):
        truth.append(labels.read(file.path, (file.pixels.shape[0], file.pixels.shape[1]), (height, width)))
        found.append(file.sample(to_input(file.pixels, height, width, channels)))
    return LabelledImages(collected(base_name(folder), found, skipped), np.stack(truth))


def default_calibration() -> Path:
    """The folder of the 32 shipped calibration images (CC0; see images/README.md)."""
    return Path(__file__).parent / "data" / "calibration"


def default_evaluation() -> Path:
    """The folder of the 8 shipped images with masks, for ``load_labelled``; none of them is a calibration image."""
    return Path(__file__).parent / "data" / "evaluation"


def collected(name: str, samples: Iterable[Sample], skipped: Sequence[str]) -> Samples:
    """Samples in memory, in name order."""
    found = sorted(samples, key=lambda sample: sample.place)
    arrays = np.stack([sample.array for sample in found])
    return Samples(name, arrays, tuple(s.id for s in found), tuple(s.file for s in found), tuple(sorted(skipped)))


# --- folders --------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class ReadFile:
    """An image file that could be read."""

    path: Path
    place: int
    digest: str
    pixels: Pixels

    def sample(self, array: Floats) -> Sample:
        return Sample(array, self.digest, self.path.name, self.place)


def read_folder(folder: Path, limit: int | None, skipped: list[str]) -> Iterator[ReadFile]:
    """Up to ``limit`` readable images, those evenly spaced by name first; a line in ``skipped`` for each unreadable one."""
    paths = some_images(folder)
    wanted = len(paths) if limit is None else min(limit, len(paths))
    first, found = evenly(len(paths), wanted), 0
    for place in (*first, *sorted(set(range(len(paths))) - set(first))):
        if found == wanted:
            return
        name = paths[place].relative_to(folder).as_posix()
        try:
            data = read_bytes(paths[place], name)
            pixels = decode(data, name)
        except ImageError as error:
            skipped.append(str(error))
            continue
        found += 1
        yield ReadFile(paths[place], place, sha256(data), pixels)
    if not found:
        raise RequestError(f"{folder} holds {len(paths)} image file(s), none readable: {min(skipped)}")


def some_images(folder: Path) -> list[Path]:
    paths = find_images(folder)
    if not paths:
        raise RequestError(f"{folder} holds no image; names that count end in {', '.join(EXTENSIONS)}")
    return paths


def stream_folder(folder: Path, limit: int | None, prepare: Callable[[Pixels], Floats]) -> SampleStream:
    def read(skipped: list[str]) -> Iterator[Sample]:
        for file in read_folder(folder, limit, skipped):
            yield file.sample(prepare(file.pixels))

    count = len(some_images(folder))
    return SampleStream(base_name(folder), count if limit is None else min(limit, count), read)


def evenly(count: int, wanted: int) -> list[int]:
    """``wanted`` different indices below ``count``: the middles of equal parts."""
    return [(2 * i + 1) * count // (2 * wanted) for i in range(wanted)]


def base_name(folder: Path) -> str:
    return Path(os.path.abspath(folder)).name


def check_limit(limit: int | None) -> None:
    if limit is not None and limit < 1:
        raise RequestError(f"cannot take {limit} images: the limit starts at 1")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# --- archives -------------------------------------------------------------


def stream_npz(path: Path, height: int, width: int, limit: int | None, channels: int) -> SampleStream:
    with opened_array(path) as array:
        shape, dtype = array.shape, array.dtype
    forms = accepted_forms(height, width, channels)
    prepare: Callable[[NDArray[Any]], NDArray[Any]]
    if len(shape) != 4 or 0 in shape:
        raise RequestError(f"{path} holds {dtype} {shape}; expected {forms}")
    if dtype == np.uint8 and shape[3] == 3 and channels in (1, 3):
        check_request(height, width, channels)
        prepare = lambda row: to_input(row, height, width, channels)  # noqa: E731
    elif dtype.kind == "f" and shape[1:] == (channels, height, width):
        prepare = lambda row: row  # noqa: E731
    elif dtype.kind == "f" and channels == 3 and shape[1:] == (height, width, 3):
        prepare = lambda row: row.transpose(2, 0, 1)  # noqa: E731
    else:
        raise RequestError(f"{path} holds {dtype} {shape}; expected {forms}")
    picked = evenly(shape[0], shape[0] if limit is None else min(limit, shape[0]))

    def read(_: list[str]) -> Iterator[Sample]:
        with opened_array(path) as array:
            for place, row in array.rows(picked):
                values = np.ascontiguousarray(prepare(row), dtype=np.float32)
                if not (values.min() >= 0 and values.max() <= 1):  # also true of NaN
                    found = f"{path} holds values from {values.min():g} to {values.max():g}"
                    raise RequestError(f"{found}; expected floats in [0, 1], or uint8")
                yield Sample(values, sha256(row.tobytes()), f"{path.name}[{place}]", place)

    return SampleStream(path.name, len(picked), read)


class OpenedArray:
    """An array inside an .npz, read row by row."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        version = np.lib.format.read_magic(stream)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        self.shape, self.by_columns, self.dtype = header(stream)
        if self.dtype.hasobject:
            raise ValueError("it holds pickled objects")
        if math.prod(self.shape) * self.dtype.itemsize != size - stream.tell():
            raise ValueError(f"{self.dtype} {self.shape} does not fit into {size} bytes")
        self.stream = stream

    def rows(self, picked: Sequence[int]) -> Iterator[tuple[int, NDArray[Any]]]:
        """The rows at the ascending positions ``picked``, with their positions."""
        if self.by_columns:  # Fortran order scatters a row over the whole file
            everything = np.frombuffer(self.stream.read(), self.dtype).reshape(self.shape, order="F")
            yield from ((place, np.ascontiguousarray(everything[place])) for place in picked)
            return
        shape = self.shape[1:]
        size, start = math.prod(shape) * self.dtype.itemsize, self.stream.tell()
        for place in picked:
            self.stream.seek(start + place * size)
            yield place, np.frombuffer(self.stream.read(size), self.dtype).reshape(shape)


@contextlib.contextmanager
def opened_array(path: Path) -> Iterator[OpenedArray]:
    """The one array of an archive, or the one called ``images``.

    Raises:
        RequestError: no such file, damaged, pickled, or several arrays.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [each.removesuffix(".npy") for each in archive.namelist()]
            name = "images" if "images" in names else names[0] if len(names) == 1 else None
            if name is None:
                held = ", ".join(names[:8]) or "nothing"
                raise RequestError(f"{path} holds {held}; expected one array, or one called 'images'")
            entry = archive.infolist()[names.index(name)]
            with archive.open(entry) as stream:
                yield OpenedArray(stream, entry.file_size)
    except RequestError:
        raise
    except Exception as error:  # damage shows as BadZipFile, EOFError, zlib.error, ...
        raise RequestError(f"cannot read {path} as an .npz archive of plain arrays: {reason(error)}") from error


def accepted_forms(height: int, width: int, channels: int) -> str:
    forms = ["uint8 (N, H, W, 3)"] if channels in (1, 3) else []
    forms.append(f"float in [0, 1] (N, {channels}, {height}, {width})")
    return " or ".join([*forms, f"(N, {height}, {width}, 3)"] if channels == 3 else forms)
