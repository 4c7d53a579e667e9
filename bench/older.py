"""LiteRT and ONNX Runtime on this machine as on an older one: AVX-512, VNNI and AMX are hidden from them.

    python -m bench.toolchains --older      # writes docs/benchmarks/older

Runtimes choose their kernels by the CPUID instruction. In copies of their libraries every CPUID becomes UD2, an instruction of
the same length that raises SIGILL, and a preloaded handler (``older.c``) answers without the newer bits. Clock and caches stay
this machine's; instructions are those of a processor with AVX2. Needs cc and objdump, on Linux x86-64.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from bench.environments import environment_id
from bench.networks import hash_of
from onenet.base.files import publish, temporary_folder
from onenet.base.host import version_of
from onenet.errors import ToolError

ROWS = ["onenet/", "litert/", "onnxruntime/", "gemm/litert", "gemm/onnxruntime"]
"""Names of what runs in the two runtimes."""
LIBRARIES = {
    "ai-edge-litert": "ai_edge_litert/libpywrap_litert_common.so",
    "onnxruntime": f"onnxruntime/capi/onnxruntime_pybind11_state{sysconfig.get_config_var('EXT_SUFFIX')}",
}
"""Package -> its library that looks at the processor."""
HANDLER = Path(__file__).with_name("older.c")
CPUID, UD2 = b"\x0f\xa2", b"\x0f\x0b"
LOADED = 1
"""Kind of the program headers that say where a file's bytes are in memory (PT_LOAD)."""


def environment(base: Path) -> dict[str, str]:
    """Variables that make a Python process use the patched copies.

    Raises:
        ToolError: no compiler, no objdump, or nothing to patch.
    """
    versions = [f"{name}=={version_of(name)}" for name in LIBRARIES]
    folder = base / environment_id("older", [*versions, hash_of(HANDLER, Path(__file__))])
    if not folder.exists():
        with temporary_folder(base) as scratch:
            make(scratch / "older")
            publish(scratch / "older", folder)
    return {"LD_PRELOAD": str(folder / "older.so"), "PYTHONPATH": str(folder)}


def make(folder: Path) -> None:
    folder.mkdir()
    compile_handler(folder / "older.so")
    packages = Path(sysconfig.get_path("platlib"))
    for library in LIBRARIES.values():
        shutil.copytree(packages / Path(library).parts[0], folder / Path(library).parts[0])
        (folder / library).write_bytes(patched(packages / library))


def compile_handler(out: Path) -> None:
    called("cc", "-O1", "-shared", "-fPIC", "-o", str(out), str(HANDLER))


def patched(library: Path) -> bytearray:
    """The library with UD2 for CPUID.

    Raises:
        ToolError: it has no CPUID.
    """
    content = bytearray(library.read_bytes())
    places = list(cpuids(library, content))
    if not places:
        raise ToolError(f"{library.name} never asks for the processor's features; the benchmark must be told where it does")
    for place in places:
        content[place : place + 2] = UD2
    return content


def cpuids(library: Path, content: bytearray) -> Iterator[int]:
    """Where in the file the CPUID instructions are."""
    segments = list(loaded_segments(content))
    for line in called("objdump", "-d", "--no-show-raw-insn", str(library)).splitlines():
        words = line.split()
        if words[1:2] != ["cpuid"]:
            continue
        address = int(words[0].rstrip(":"), 16)
        place = next(offset + address - start for start, offset, size in segments if start <= address < start + size)
        assert content[place : place + 2] == CPUID
        yield place


def loaded_segments(content: bytearray) -> Iterator[tuple[int, int, int]]:
    """Address in memory, place in the file and length of what an ELF file (64 bits, little-endian) loads."""
    (headers,) = struct.unpack_from("<Q", content, 32)
    size, count = struct.unpack_from("<HH", content, 54)
    for i in range(count):
        kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", content, headers + i * size)
        if kind == LOADED:
            yield address, offset, length


def called(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        raise ToolError(f"{command[0]} is not installed") from None
    except subprocess.CalledProcessError as error:
        raise ToolError(f"{command[0]} failed: {error.stderr.strip()[:200]}") from None
