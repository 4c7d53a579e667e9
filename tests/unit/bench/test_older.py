"""``bench/older.py``: a library that asks for the processor's features is told of an older one."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.older import compile_handler, patched
from onenet.errors import ToolError

pytestmark = [
    pytest.mark.skipif(
        platform.machine() != "x86_64" or sys.platform != "linux", reason="rewrites CPUID, an instruction of x86, on Linux"
    ),
    pytest.mark.skipif(not (shutil.which("cc") and shutil.which("objdump")), reason="needs cc and objdump"),
]
ASKING = """
#include <cpuid.h>
unsigned leaf7(unsigned which) {
  unsigned a, b, c, d;
  __cpuid_count(7, 0, a, b, c, d);
  return which == 0 ? b : which == 1 ? c : d;
}
"""
AVX2, AVX512F, VNNI = 1 << 5, 1 << 16, 1 << 11


def compiled(source: str, out: Path) -> Path:
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-x", "c", "-", "-o", str(out)], input=source, text=True, check=True)
    return out


def features(library: Path, preload: Path | None = None) -> tuple[int, int]:
    """EBX and ECX of leaf 7, as the library sees them in a process of its own."""
    code = f"import ctypes; l = ctypes.CDLL({str(library)!r}); print(*[l.leaf7(i) & 0xFFFFFFFF for i in (0, 1)])"
    environment = {**os.environ, **({"LD_PRELOAD": str(preload)} if preload else {})}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    first, second = map(int, done.stdout.split())
    return first, second


def test_a_patched_library_sees_no_avx512(tmp_path: Path) -> None:
    library = compiled(ASKING, tmp_path / "asking.so")
    compile_handler(tmp_path / "older.so")
    (tmp_path / "patched.so").write_bytes(patched(library))
    real, found = features(library), features(tmp_path / "patched.so", tmp_path / "older.so")
    assert (found[0] & AVX512F, found[1] & VNNI) == (0, 0)
    assert found[0] & AVX2 == real[0] & AVX2
    assert features(library, tmp_path / "older.so") == real  # what is not patched is not touched


def test_another_illegal_instruction_still_kills(tmp_path: Path) -> None:
    compile_handler(tmp_path / "older.so")
    broken = compiled('void fail(void) { __asm__(".byte 0x0f, 0xff, 0xc0"); }', tmp_path / "broken.so")  # UD0
    code = f"import ctypes; ctypes.CDLL({str(broken)!r}).fail()"
    environment = {**os.environ, "LD_PRELOAD": str(tmp_path / "older.so")}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == -4  # SIGILL


def test_a_library_that_never_asks_is_refused(tmp_path: Path) -> None:
    library = compiled("int one(void) { return 1; }", tmp_path / "silent.so")
    with pytest.raises(ToolError, match=r"silent\.so never asks for the processor's features"):
        patched(library)
