"""``parity.verify`` for a file that nobody vouches for: in a process of its own, with limits of memory and time.

Interpreters trust what they load. LiteRT follows the offsets of a damaged file wherever they point; a damaged shape asks for
more memory than there is. Here that ends one process, and is one line of text. It is no sandbox: the process may do what its
user may.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from onenet import errors
from onenet.base.files import size_of
from onenet.base.process import LIFELINE, TookTooLong, converse, keep_lifeline
from onenet.base.text import one_line
from onenet.errors import OneNetError, ToolError
from onenet.runtimes.artifact import sidecar_of
from onenet.runtimes.parity import Check, Verification, verify_here
from onenet.runtimes.session import RuntimeInfo

MEMORY = 2 << 30
"""Bytes of address space, beside ``COPIES`` of the file. Python with onnxruntime and a small network takes 0.3 GB."""
COPIES = 4
"""Of its weights that a runtime may hold: as read, unpacked, packed for its kernels, and one in passing."""
SECONDS = 120.0
PROGRAM = "import sys; sys.path[:] = {path!r}; from onenet.runtimes.isolated import main; main(*sys.argv[1:])"
"""Not ``-m``: that would look for every module in the current folder first, where the file comes from."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""numpy reserves address space for a thread on each core."""


def verify(path: Path, threads: int | None = None, runtime: str | None = None) -> Verification:
    """``parity.verify_here`` in a process of its own, on one thread unless told otherwise.

    Raises:
        OneNetError: as ``verify_here``.
        ToolError: the file ended the process, or passed a limit.
    """
    limit = MEMORY + COPIES * size_of(path)
    command = [sys.executable, "-c", PROGRAM.format(path=sys.path), str(path), str(threads or 1), str(limit), runtime or ""]
    own = {**ONE_THREAD, LIFELINE: "1"}
    try:
        done = converse(command, what=path.name, seconds=SECONDS, hold=True, environment=own)
    except TookTooLong as error:
        raise ToolError(f"{path.name} kept its runtime busy for {SECONDS:.0f} s; {advice(path)}") from error
    if done.code != 0:
        raise ToolError(f"{path.name} ended its runtime with {cause(done.code)}; {advice(path)}")
    answer = json.loads(done.out)
    if "error" in answer:
        raise getattr(errors, answer["error"])(answer["text"])
    checks = tuple(Check(**each) for each in answer["checks"])
    return Verification(**{**answer, "runtime": RuntimeInfo(**answer["runtime"]), "checks": checks})


def advice(path: Path) -> str:
    """What to do about a file that cannot be checked, for an error text."""
    return f"it is damaged, or too large to be checked without {sidecar_of(path).name} beside it: export it again"


def cause(code: int) -> str:
    """``SIGSEGV``, or the exit code where no signal ended the process."""
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit code {code}"


def main(path: str, threads: str, limit: str, runtime: str) -> None:
    """The process: check, and print the answer as JSON on what was stdout before the runtimes could print there."""
    keep_lifeline()
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    limit_memory(int(limit))
    json.dump(examine(Path(path), int(threads), int(limit), runtime or None), answer)
    answer.close()


def examine(path: Path, threads: int, limit: int, runtime: str | None) -> dict[str, Any]:
    """The verification as JSON values, or ``error`` and ``text``; it raises nothing. ``limit`` is in bytes of memory."""
    try:
        found = verify_here(path, threads, runtime).as_dict()
        del found["passed"]
        return found
    except OneNetError as error:
        return {"error": type(error).__name__, "text": str(error)}
    except MemoryError:
        text = f"checking {path.name} takes more than {limit / 1e9:.1f} GB of memory; {advice(path)}"
        return {"error": "ToolError", "text": text}
    except Exception as error:  # nobody knows what a damaged file leads a runtime to raise
        return {"error": "ToolError", "text": f"checking {path.name} failed: {type(error).__name__}: {one_line(error)}"}


def limit_memory(limit: int) -> None:
    """Limit this process's address space to ``limit`` bytes, and write no core file; no effect on Windows."""
    try:
        import resource
    except ImportError:  # Windows
        return
    with contextlib.suppress(OSError, ValueError):  # a system that has no such limit, or a lower one
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
