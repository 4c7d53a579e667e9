"""How much memory this process has held at most."""

from __future__ import annotations

import sys
from pathlib import Path


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
