"""What this machine is and has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from onenet.base import host
from onenet.errors import ToolError


def test_a_missing_package_says_how_to_get_it() -> None:
    with pytest.raises(ToolError, match=r'nowhere cannot be imported .*pip install "onenet-export\[report\]"'):
        host.require("nowhere.module", "report")
    assert host.require("json").loads("1") == 1


def test_versions() -> None:
    assert host.version_of("numpy")[0].isdigit()
    assert host.version_of("nowhere") == "unknown"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to cores")
def test_cores_are_those_that_this_process_may_use() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert host.all_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_the_peak_grows_with_what_is_held() -> None:
    before = host.peak_bytes()
    held = bytearray(os.urandom(1)) * (64 << 20)
    after = host.peak_bytes()
    assert before is not None
    assert after is not None
    assert after >= before
    assert after > len(held)


@pytest.mark.parametrize(
    ("machine", "flags", "expected"),
    [
        ("x86_64", "sse avx512_vnni", True),
        ("AMD64", "avx_vnni", True),
        ("x86_64", "avx2", False),
        ("aarch64", "avx_vnni", None),
    ],
)
def test_vnni(machine: str, flags: str, expected: bool | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.platform, "machine", lambda: machine)
    monkeypatch.setattr(Path, "read_text", lambda _: f"processor\t: 0\nflags\t\t: {flags}\n")
    assert host.has_vnni() is expected
