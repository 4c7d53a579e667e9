"""Android packages with one native library, made by the tests."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

from onenet.base.apk import PAGE


def elf(*alignments: int, wide: bool = True, order: int = 1) -> bytes:
    """A library of loadable segments alone, and one that is not loaded, which may lie anywhere."""
    segments = [(1, each) for each in alignments] + [(4, 4)]
    head = b"\x7fELF" + bytes([2 if wide else 1, order]) + bytes(26) + struct.pack("<Q", 64) + bytes(14)
    head += struct.pack("<HHHHH", 56, len(segments), 0, 0, 0)
    return head + b"".join(struct.pack("<IIQQQQQQ", kind, 5, 0, 0, 0, 0, 0, align) for kind, align in segments)


def add(package: zipfile.ZipFile, name: str, data: bytes, *, aligned: bool = True, stored: bool = True) -> None:
    """An entry whose data begin at a page, or four bytes behind one."""
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    padding = -(package.start_dir + 30 + len(name)) % PAGE + (0 if aligned else 4)
    entry.extra = struct.pack("<HH", 0xD935, padding - 4) + bytes(padding - 4) if padding >= 4 else b""
    package.writestr(entry, data)


def package_of(folder: Path, name: str, data: bytes, suffix: str = ".apk", **how: bool) -> Path:
    path = folder / f"app{suffix}"
    with zipfile.ZipFile(path, "w") as package:
        package.writestr("AndroidManifest.xml", "x")
        add(package, name, data, **how)
    return path
