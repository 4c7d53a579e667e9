"""``onenet doctor app.apk``."""

from __future__ import annotations

from pathlib import Path

import pytest

from onenet.base.apk import PAGE
from tests.unit.cli.invoked import refused, run
from tests.unit.packages import elf, package_of


def test_a_good_package_is_green_and_a_bad_one_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    good = package_of(tmp_path, "lib/arm64-v8a/libgood.so", elf(PAGE))
    result = run("doctor", str(good))
    assert result.exit_code == 0
    assert "✓  arm64-v8a/libgood.so  aligned to 16384  at 16384 = 1 pages" in result.stdout
    (tmp_path / "other").mkdir()
    bad = package_of(tmp_path / "other", "lib/arm64-v8a/libbad.so", elf(4096))
    result = run("doctor", str(good), str(bad))
    assert result.exit_code == 1
    assert "✗  arm64-v8a/libbad.so" in result.stdout and "max-page-size=16384" in result.stdout


def test_without_native_libraries_any_phone_will_do(tmp_path: Path) -> None:
    result = run("doctor", str(package_of(tmp_path, "classes.dex", b"dex")))
    assert (result.exit_code, "no native library" in result.stdout) == (0, True)


def test_packages_and_devices_are_two_questions(tmp_path: Path) -> None:
    assert "leave out --device" in refused("doctor", str(tmp_path / "a.apk"), "--device", "local")
    assert "is not a file" in refused("doctor", str(tmp_path / "a.apk"))
