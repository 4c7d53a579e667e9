"""Arrays inside .npz archives, read row by row: ten thousand samples need the memory of one."""

from __future__ import annotations

import contextlib
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from onenet.base.arrays import Array
from onenet.base.images import reason
from onenet.errors import RequestError

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
