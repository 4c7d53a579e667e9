"""Packages with native libraries that load with pages of 16 kB, and with those that do not."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from onenet.base.apk import PAGE, libraries_of
from onenet.errors import RequestError
from tests.unit.packages import elf, package_of


def test_aligned_libraries_load(tmp_path: Path) -> None:
    path = package_of(tmp_path, "lib/arm64-v8a/liba.so", elf(PAGE, 65536))
    (found,) = libraries_of(path)
    assert (found.name, found.alignment, found.problems) == ("arm64-v8a/liba.so", PAGE, ())
    assert found.offset is not None and found.offset % PAGE == 0
    assert path.read_bytes()[found.offset :][:4] == b"\x7fELF"


def test_one_segment_of_4_kb_is_named(tmp_path: Path) -> None:
    (found,) = libraries_of(package_of(tmp_path, "lib/arm64-v8a/liba.so", elf(PAGE, 4096)))
    assert found.alignment == 4096 and len(found.problems) == 1
    assert "segments aligned to 4096, 16384 needed" in found.problems[0]


def test_a_library_that_cannot_be_mapped_from_the_package_is_named(tmp_path: Path) -> None:
    (found,) = libraries_of(package_of(tmp_path, "lib/x86_64/liba.so", elf(PAGE), aligned=False))
    assert found.offset is not None and found.offset % PAGE == 4
    assert "no multiple of 16384" in found.problems[0]


@pytest.mark.parametrize(("suffix", "stored"), [(".apk", False), (".aab", True), (".aar", True)])
def test_where_it_begins_matters_only_in_what_is_mapped(tmp_path: Path, suffix: str, stored: bool) -> None:
    name = "jni/arm64-v8a/liba.so" if suffix == ".aar" else "base/lib/arm64-v8a/liba.so"
    (found,) = libraries_of(package_of(tmp_path, name, elf(PAGE), suffix, aligned=False, stored=stored))
    assert (found.offset, found.problems) == (None, ())


def test_32_bit_libraries_have_small_pages(tmp_path: Path) -> None:
    (found,) = libraries_of(package_of(tmp_path, "lib/armeabi-v7a/liba.so", elf(4096, wide=False)))
    assert (found.alignment, found.problems) == (None, ())


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"text" * 40, "no ELF library"),
        (b"\x7fELF", "no ELF library"),
        (elf(PAGE, order=2), "does not have"),
        (elf(), "aligned to 0"),
    ],
)
def test_what_is_no_library_is_named(tmp_path: Path, data: bytes, problem: str) -> None:
    (found,) = libraries_of(package_of(tmp_path, "lib/arm64-v8a/liba.so", data))
    assert problem in found.problems[0]


def test_files_that_are_no_libraries_are_left_alone(tmp_path: Path) -> None:
    assert libraries_of(package_of(tmp_path, "assets/lib/readme.so.txt", b"x")) == []


def test_other_files_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="is not a file"):
        libraries_of(tmp_path / "none.apk")
    (tmp_path / "a.zip").write_bytes(b"")
    with pytest.raises(RequestError, match=r"not an Android package; supported: \.apk, \.aab, \.aar"):
        libraries_of(tmp_path / "a.zip")
    whole = package_of(tmp_path, "lib/arm64-v8a/liba.so", elf(PAGE)).read_bytes()
    for damaged in (b"PK", b"", whole[:-8], whole[: len(whole) // 2]):
        (tmp_path / "cut.apk").write_bytes(damaged)
        with pytest.raises(RequestError, match=r"cut\.apk is not an Android package that can be read") as raised:
            libraries_of(tmp_path / "cut.apk")
        assert "\n" not in str(raised.value)
    (tmp_path / "cut.apk").write_bytes(whole.replace(struct.pack("<HH", 56, 2), struct.pack("<HH", 56, 999)))
    with pytest.raises(RequestError, match="can be read"):
        libraries_of(tmp_path / "cut.apk")
