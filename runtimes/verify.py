"""Check an artifact alone: in this process where the manifest beside it vouches for it, else in one of its own."""

from __future__ import annotations

from pathlib import Path

from onenet.runtimes import isolated, read_manifest, runtime_of
from onenet.runtimes.artifact import read_sidecar
from onenet.runtimes.parity import NOT_OPENED, Verification, check_bytes, check_content, verify_here


def verify(path: Path | str, threads: int | None = None, runtime: str | None = None) -> Verification:
    """Check an artifact alone: its bytes, names, shapes and golden pair. Needs its runtime, not torch.

    A file that is not the one which the manifest beside it describes is not opened; without one beside it, nor is a file whose
    content is not that which the manifest inside was sealed with. It is opened in a process of its own otherwise, so that a
    damaged one cannot take this process with it.

    Args:
        threads: CPU threads; None takes all cores that this process may use.
        runtime: the runtime's name (``tflite-runtime``); None takes the first that opens the format and is installed.

    Raises:
        RequestError: no such artifact, or not a format that onenet writes.
        CheckError: it carries no manifest to check it against.
        ToolError: the runtime is missing, cannot load it, or does not survive it.
    """
    path = Path(path)
    runtime_of(path, runtime)
    beside = check_bytes(path)
    check = check_content(path) if beside.passed is None else beside
    if check.passed is False:
        told = read_sidecar(path) or read_manifest(path) or {}
        return Verification(path.name, str(told.get("target")), str(told.get("precision")), NOT_OPENED, (check,))
    return verify_here(path, threads, runtime) if beside.passed else isolated.verify(path, threads, runtime)
