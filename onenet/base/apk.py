"""Whether an Android package runs on phones with pages of 16 kB: its native libraries, without Android's own tools.

Since Android 15 a phone may have such pages. A 64-bit library loads there if every loadable segment is aligned to 16384 bytes.
A library that is stored uncompressed in an APK is mapped from it, and must begin at a multiple of 16384 as well. A compressed
one is extracted first.
"""

from __future__ import annotations

import re
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from onenet.base.text import one_line
from onenet.errors import RequestError

PAGE = 16384
SUFFIXES = (".apk", ".aab", ".aar")
LIBRARY = re.compile(r"(?:^|/)(?:lib|jni)/([^/]+)/([^/]+\.so)$")
LARGEST = 1 << 30
"""Bytes of one library; what is larger is not read."""
LOADABLE = 1
WIDE, LITTLE = 2, 1
"""64 bits, least byte first: what every Android processor with pages of 16 kB has."""


@dataclass(frozen=True)
class Library:
    """One native library of a package, and what is wrong with it."""

    name: str
    """``arm64-v8a/libfoo.so``."""
    alignment: int | None
    """The least of its loadable segments; None where the library is for 32 bits, or is no library."""
    offset: int | None
    """Where its bytes begin in the package; None where they are compressed."""
    problems: tuple[str, ...]
    """What to do about each; none where it loads everywhere."""


def libraries_of(path: Path) -> list[Library]:
    """The native libraries of an APK, AAB or AAR, in the order of their names; none where it holds none.

    Raises:
        RequestError: no such file, another kind of file, or a damaged one.
    """
    if not path.is_file():
        raise RequestError(f"{path} is not a file")
    if path.suffix.lower() not in SUFFIXES:
        raise RequestError(f"{path.name} is not an Android package; supported: {', '.join(SUFFIXES)}")
    try:
        with path.open("rb") as stream, zipfile.ZipFile(stream) as package:
            entries = [each for each in package.infolist() if LIBRARY.search(each.filename)]
            is_apk = path.suffix.lower() == ".apk"  # of the others another program makes the APK, and aligns it
            return [examine(package, stream, each, is_apk) for each in sorted(entries, key=lambda each: each.filename)]
    except (zipfile.BadZipFile, struct.error, EOFError, NotImplementedError, OSError) as error:
        raise RequestError(f"{path.name} is not an Android package that can be read: {one_line(error)}") from error


def examine(package: zipfile.ZipFile, stream: BinaryIO, entry: zipfile.ZipInfo, is_apk: bool) -> Library:
    """One library."""
    found = LIBRARY.search(entry.filename)
    assert found is not None, "the caller chose the entries"
    name = f"{found[1]}/{found[2]}"
    if entry.file_size > LARGEST:
        return Library(name, None, None, (f"{entry.file_size} bytes: too large to be read",))
    stored = entry.compress_type == zipfile.ZIP_STORED
    offset = data_offset(stream, entry) if stored and is_apk else None
    data = package.read(entry)
    problems = []
    if data[:4] != b"\x7fELF" or len(data) < 64:
        return Library(name, None, offset, ("no ELF library",))
    if data[4] != WIDE:
        return Library(name, None, offset, ())  # processors of 32 bits have pages of 4 kB
    if data[5] != LITTLE:
        return Library(name, None, offset, ("an ELF library for a processor that Android does not have",))
    alignment = segment_alignment(data)
    if alignment < PAGE:
        problems.append(
            f"segments aligned to {alignment}, {PAGE} needed: link with -Wl,-z,max-page-size={PAGE}, or take a newer one"
        )
    if offset is not None and offset % PAGE:
        problems.append(
            f"begins at {offset} in the package, no multiple of {PAGE}: zipalign -P 16, or Android Gradle Plugin 8.5.1"
        )
    return Library(name, alignment, offset, tuple(problems))


def segment_alignment(data: bytes) -> int:
    """The least alignment of the loadable segments of a 64-bit library; 0 where it has none.

    Raises:
        struct.error: it is cut off.
    """
    start, size, count = (struct.unpack_from(form, data, at)[0] for form, at in (("<Q", 32), ("<H", 54), ("<H", 56)))
    headers = [struct.unpack_from("<IIQQQQQQ", data, start + number * size) for number in range(count)]
    return min((header[7] for header in headers if header[0] == LOADABLE), default=0)


def data_offset(stream: BinaryIO, entry: zipfile.ZipInfo) -> int:
    """Where an entry's bytes begin. The header beside them may have an extra field of another length than the directory's."""
    place = stream.tell()
    stream.seek(entry.header_offset + 26)
    name, extra = struct.unpack("<HH", stream.read(4))
    stream.seek(place)
    return entry.header_offset + 30 + int(name) + int(extra)
