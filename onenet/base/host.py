"""This machine and what is installed on it: cores, memory, the processor's int8 instructions, packages."""

from __future__ import annotations

import importlib
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from onenet.base.text import one_line
from onenet.errors import ToolError


def require(module: str, extra: str = "runtime") -> Any:
    """Import a package that only some users need.

    Raises:
        ToolError: it is not installed, or does not load; says which extra brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.split(".")[0]
        raise ToolError(f'{package} cannot be imported ({one_line(error)}); pip install "onenet-export[{extra}]"') from error


def version_of(package: str) -> str:
    """The version of an installed distribution; "unknown" where the module comes from another one (a nightly build)."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def all_cores() -> int:
    """Cores that this process may use; in a container or under taskset fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def peak_bytes() -> int | None:
    """Largest resident set of this process so far, in bytes; None where the system does not say.

    On Linux the kernel's VmHWM, not ru_maxrss: that one survives exec, and is the parent's where the parent was larger.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def has_vnni() -> bool | None:
    """Whether this CPU multiplies int8 into 32-bit sums in one instruction; None where it is not x86 or not known."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return None
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return None
    flags = next((line.split(":", 1)[1].split() for line in lines if line.startswith("flags")), None)
    return None if flags is None else "avx512_vnni" in flags or "avx_vnni" in flags
