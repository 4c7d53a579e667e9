"""Arrays inside .npz archives, read row by row: ten thousand samples need the memory of one; and what a row stands for."""

from __future__ import annotations

import contextlib
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from onenet.base.arrays import Array
from onenet.base.images import check_request, reason, to_input
from onenet.errors import RequestError
from onenet.spec import ModelSpec, TensorSpec

IMAGES = "images"
"""What an array may be called, beside others, to be the one that is read."""


class OpenedArray:
    """An array inside an .npz.

    Raises:
        ValueError: pickled objects, or a size that its header does not account for.
    """

    def __init__(self, stream: IO[bytes], size: int) -> None:
        version = np.lib.format.read_magic(stream)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        self.shape, self.by_columns, self.dtype = header(stream)
        if self.dtype.hasobject:
            raise ValueError("it holds pickled objects")
        if math.prod(self.shape) * self.dtype.itemsize != size - stream.tell():
            raise ValueError(f"{self.dtype} {self.shape} does not fit into {size} bytes")
        self.stream = stream

    def rows(self, places: Sequence[int]) -> Iterator[Array]:
        """The rows at ascending positions."""
        if self.by_columns:  # Fortran order scatters a row over the whole file
            everything = np.frombuffer(self.stream.read(), self.dtype).reshape(self.shape, order="F")
            yield from (np.asarray(everything[place], order="C") for place in places)
            return
        shape = self.shape[1:]
        size, start = math.prod(shape) * self.dtype.itemsize, self.stream.tell()
        for place in places:
            self.stream.seek(start + place * size)
            yield np.frombuffer(self.stream.read(size), self.dtype).reshape(shape)


Choice = Callable[[Sequence[str]], Mapping[str, str]]
"""From the names of all arrays of an archive to those to open: name to give -> name in the archive."""


@contextlib.contextmanager
def opened_archive(path: Path, choose: Choice) -> Iterator[dict[str, OpenedArray]]:
    """The chosen arrays of an archive; no row of them is read yet.

    Raises:
        RequestError: no such file, damaged, or pickled. Also where reading rows inside the ``with`` fails.
    """
    try:
        with zipfile.ZipFile(path) as archive, contextlib.ExitStack() as streams:
            entries = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
            arrays = {}
            for name, stored in choose(list(entries)).items():
                stream = streams.enter_context(archive.open(entries[stored]))
                arrays[name] = OpenedArray(stream, entries[stored].file_size)
            yield arrays
    except RequestError:
        raise
    except Exception as error:  # damage shows as BadZipFile, EOFError, zlib.error, ...
        raise RequestError(f"cannot read {path} as an .npz archive of plain arrays: {reason(error)}") from error


@contextlib.contextmanager
def opened_array(path: Path) -> Iterator[OpenedArray]:
    """The one array of an archive, or the one called ``images``.

    Raises:
        RequestError: as ``opened_archive``, or several arrays.
    """

    def choose(names: Sequence[str]) -> Mapping[str, str]:
        if IMAGES not in names and len(names) != 1:
            held = ", ".join(names[:8]) or "nothing"
            raise RequestError(f"{path} holds {held}; expected one array, or one called '{IMAGES}'")
        return {IMAGES: IMAGES if IMAGES in names else names[0]}

    with opened_archive(path, choose) as arrays:
        yield arrays[IMAGES]


# --- from rows to inputs --------------------------------------------------

Prepare = Callable[[Array], Array]
"""A row as an archive stores it to a model's input."""


def image_rows(path: Path, array: OpenedArray, size: tuple[int, int], channels: int) -> Prepare:
    """How a row of an array of images becomes an input (C, H, W).

    Raises:
        RequestError: no array of images of this size (height, width); names the forms that are.
    """
    (height, width), shape, dtype = size, array.shape, array.dtype
    if len(shape) == 4 and 0 not in shape:
        if dtype == np.uint8 and shape[3] == 3 and channels in (1, 3):
            check_request(height, width, channels)
            return lambda row: to_input(row, height, width, channels)
        if dtype.kind == "f" and shape[1:] == (channels, height, width):
            return lambda row: np.ascontiguousarray(row, dtype=np.float32)
        if dtype.kind == "f" and channels == 3 and shape[1:] == (height, width, 3):
            return lambda row: np.ascontiguousarray(row.transpose(2, 0, 1), dtype=np.float32)
    raise RequestError(f"{path} holds {dtype} {shape}; expected {accepted_forms(height, width, channels)}")


def check_unit(path: Path, values: Array) -> None:
    """Refuse values outside [0, 1], and NaN, with a RequestError."""
    if not (values.min() >= 0 and values.max() <= 1):  # also true of NaN
        limits = f"{path} holds values from {values.min():g} to {values.max():g}"
        raise RequestError(f"{limits}; expected floats in [0, 1], or uint8")


def accepted_forms(height: int, width: int, channels: int) -> str:
    """What an .npz of images may hold, for messages."""
    forms = ["uint8 (N, H, W, 3)"] if channels in (1, 3) else []
    forms.append(f"float in [0, 1] (N, {channels}, {height}, {width})")
    return " or ".join([*forms, f"(N, {height}, {width}, 3)"] if channels == 3 else forms)


def arrays_of(spec: ModelSpec, path: Path, held: Sequence[str]) -> Mapping[str, str]:
    """The inputs of a model, in order, and the names of their arrays among those that an archive holds.

    Raises:
        RequestError: an array is missing or for no input.
    """
    names = [tensor.name for tensor in spec.inputs]
    if len(names) == 1 and names[0] not in held and (len(held) == 1 or IMAGES in held):
        return {names[0]: IMAGES if IMAGES in held else held[0]}
    for what, wrong in (
        ("lacks", [name for name in names if name not in held]),
        ("has, for no input,", [name for name in held if name not in names]),
    ):
        if wrong:
            raise RequestError(f"{path} {what} the array {wrong[0]!r}; {spec.name} takes {', '.join(names)}")
    return {name: name for name in names}


def check_counts(path: Path, arrays: Mapping[str, OpenedArray]) -> int:
    """How many samples there are.

    Raises:
        RequestError: none, or not as many of each input.
    """
    counts = {name: array.shape[0] if array.shape else 0 for name, array in arrays.items()}
    if 0 in counts.values() or len(set(counts.values())) > 1:
        held = ", ".join(f"{count} of {name}" for name, count in counts.items())
        raise RequestError(f"{path} holds {held}; as many of each are needed, the samples along the first axis")
    return next(iter(counts.values()))


def rows_of(tensor: TensorSpec, path: Path, array: OpenedArray) -> Prepare:
    """How a row of an input's array becomes that input; images as ``image_rows`` reads them, in [0, 1] unless the model
    says otherwise.

    Raises:
        RequestError: no array of images for an image.
    """
    if tensor.role != "image" or tensor.layout != "NCHW":
        return lambda row: np.asarray(row, order="C")
    _, channels, height, width = tensor.shape
    try:
        prepare = image_rows(path, array, (height, width), channels)
    except RequestError as error:
        raise RequestError(f"input {tensor.name}: {error}") from error

    def within(row: Array) -> Array:
        values = prepare(row)
        if tensor.value_range is None:
            check_unit(path, values)
        return values

    return within
