"""Copies of an app's native libraries that Linux's loader takes: their code is the same, their imports are bound to bionic.c.

Two things in the dynamic section are changed. Versions of symbols are left out: Android's C library is LIBC everywhere, glibc's
are others. And imports that bionic.c defines, because glibc's function of that name takes other types, end in a capital
letter: the last, because names that end alike share their letters in the table.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path

DYNAMIC = 2
STRINGS, SYMBOLS = 5, 6
VERSIONS = (0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF)
"""DT_VERSYM, DT_VERDEF, DT_VERDEFNUM, DT_VERNEED, DT_VERNEEDNUM."""
IGNORED = 0x6000000D
"""A tag that no loader looks at."""
SYMBOL = struct.Struct("<IBBHQQ")


def rebound(source: Path) -> set[str]:
    """Names that bionic.c defines with a capital letter at the end, as libraries import them."""
    return {name.lower() for name in re.findall(r"^\w[\w ]* ([a-z_]+[A-Z])\(", source.read_text(), re.MULTILINE)}


def rebind(library: bytes, names: set[str]) -> bytes:
    """The copy of a 64-bit library.

    Raises:
        ValueError: it is no 64-bit little-endian ELF file with a dynamic section.
    """
    if library[:6] != b"\x7fELF\x02\x01":
        raise ValueError("not a 64-bit little-endian ELF file")
    data = bytearray(library)
    segments = [struct.unpack_from("<IIQQQQQQ", data, at) for at in segment_places(data)]
    dynamic = next((each for each in segments if each[0] == DYNAMIC), None)
    if dynamic is None:
        raise ValueError("no dynamic section")
    tags = {}
    for at in range(dynamic[2], dynamic[2] + dynamic[5], 16):
        tag, value = struct.unpack_from("<QQ", data, at)
        tags.setdefault(tag, value)
        if tag in VERSIONS:
            struct.pack_into("<QQ", data, at, IGNORED, 0)
    strings, symbols = (place(segments, tags[tag]) for tag in (STRINGS, SYMBOLS))
    # The table of symbols has no length of its own; here as everywhere its strings, or the versions, follow it.
    ends = [place(segments, tags[tag]) for tag in (STRINGS, VERSIONS[0], 0x6FFFFEF5) if tag in tags]
    end = min(each for each in ends if each > symbols)
    found = [SYMBOL.unpack_from(data, at) for at in range(symbols, end - SYMBOL.size + 1, SYMBOL.size)]
    imports = {strings + each[0]: text_at(library, strings + each[0]) for each in found if each[3] == 0 and each[0]}
    for at, text in imports.items():
        if text in names:
            data[at + len(text) - 1] = ord(text[-1].upper())
    for at, text in imports.items():
        if text not in names and text_at(data, at) != text:
            raise ValueError(f"{text} shares its letters with an import that is bound to bionic.c: define it there as well")
    return bytes(data)


def text_at(data: bytes | bytearray, at: int) -> str:
    """A text that ends with a zero."""
    return bytes(data[at : data.index(0, at)]).decode("ascii", "replace")


def segment_places(data: bytearray) -> range:
    """Where the program headers are."""
    start, size, count = (struct.unpack_from(form, data, at)[0] for form, at in (("<Q", 32), ("<H", 54), ("<H", 56)))
    return range(start, start + size * count, size)


def place(segments: list[tuple[int, ...]], address: int) -> int:
    """Where an address of the loaded library lies in the file."""
    return next(each[2] + address - each[3] for each in segments if each[0] == 1 and each[3] <= address < each[3] + each[5])
