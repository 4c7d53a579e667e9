"""What the figures depend on: processor, system, versions, and what else the machine was doing."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from bench import peers
from bench.networks import ROOT
from onenet.base.host import all_cores, has_vnni, version_of

FLAGS = [
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512bw",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_int8",
    "amx_bf16",
]
"""Those that decide which kernels a runtime picks."""
OWN = ("ai-edge-litert", "onnxruntime", "torch", "litert-torch", "torchao", "numpy")


def context(*, older: bool = False) -> dict[str, Any]:
    """``older``: what ``bench/older.py`` hides is left out."""
    information = cpu_information()
    flags = information.get("flags", information.get("Features", "")).split()
    if older:
        flags = [flag for flag in flags if not flag.startswith(("avx512", "avx_vnni", "amx"))]
    return {
        "cpu": information.get("model name", platform.processor() or platform.machine()),
        "flags": [flag for flag in FLAGS if flag in flags] or flags,
        "vnni": has_vnni() and not older,
        "hidden": "AVX-512, VNNI and AMX, by bench/older.py" if older else None,
        "cores": all_cores(),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "virtual": "hypervisor" in flags,
        "governor": read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "commit": commit(),
        "versions": {name: list(peers.peer(name).REQUIREMENTS) for name in peers.NAMES if peers.peer(name).REQUIREMENTS},
        "own_versions": {name: version_of(name) for name in OWN},
    }


def cpu_information() -> dict[str, str]:
    """The first processor's entries of /proc/cpuinfo."""
    lines = (read("/proc/cpuinfo") or "").split("\n\n")[0].splitlines()
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def read(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None


def commit() -> str:
    """Of this checkout, marked where files differ from it."""
    try:
        done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def stolen_ticks() -> int | None:
    """Clock ticks that other virtual machines took from this one, so far."""
    fields = (read("/proc/stat") or "").splitlines()[:1]
    values = fields[0].split() if fields else []
    return int(values[8]) if len(values) > 8 else None
