"""``onenet-agent.pyz``: the agent and what it imports of onenet in one file that any Python since 3.9 runs. No clock in it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import onenet
from onenet import runtimes

TOP = ("__init__", "errors", "files", "spec")
RUNTIMES = (
    *("__init__", "agent", "artifact", "golden", "latency", "layers", "litert", "machine", "memory", "metrics"),
    *("null", "onnxruntime", "outside", "parity", "session"),
)
MAIN = """import sys
if sys.version_info < (3, 9):
    sys.exit("onenet-agent needs Python 3.9 or later; this is %d.%d" % sys.version_info[:2])
try:
    import numpy
except ImportError:
    sys.exit("onenet-agent needs numpy; python3 -m pip install numpy")
from onenet.runtimes.agent import main
sys.exit(main(sys.argv[1:]))
"""
NO_DATE = (1980, 1, 1, 0, 0, 0)


def sources() -> dict[str, bytes]:
    """Path inside the archive -> content."""
    top, own = Path(onenet.__file__).parent, Path(runtimes.__file__).parent
    found = {f"onenet/{name}.py": (top / f"{name}.py").read_bytes() for name in TOP}
    found |= {f"onenet/runtimes/{name}.py": (own / f"{name}.py").read_bytes() for name in RUNTIMES}
    found["onenet/runtimes/devices/__init__.py"] = b""
    found["onenet/runtimes/devices/process.py"] = (own / "devices/process.py").read_bytes()
    return {"__main__.py": MAIN.encode(), **dict(sorted(found.items()))}


def pack() -> bytes:
    """The archive; the same bytes from the same sources."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sources().items():
            archive.writestr(zipfile.ZipInfo(name, NO_DATE), content, zipfile.ZIP_DEFLATED)
    return made.getvalue()
