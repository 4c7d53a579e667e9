"""Runtimes that open artifacts: one file per runtime in ``backends``, found by the artifact's suffix."""

from __future__ import annotations

from pathlib import Path

from onenet.base.folder import Folder
from onenet.errors import RequestError
from onenet.runtimes.session import Runtime, Session

RUNTIMES: Folder[Runtime] = Folder("onenet.runtimes.backends", "RUNTIMES")


def open_session(path: Path, threads: int | None = None, *, runtime: str | None = None, exact_int8: bool = False) -> Session:
    """Open an artifact in a runtime.

    Args:
        threads: CPU threads; None takes all cores that this process may use.
        runtime: the runtime's name; None takes the first that opens the artifact's format and is installed.
        exact_int8: compute quantized operators as float arithmetic where this runtime's int8 kernels may saturate
            (onnxruntime on x86 CPUs without VNNI). Slower; the other runtimes need no such form.

    Raises:
        RequestError: no such file, no such runtime, a suffix that it does not open, or less than one thread.
        ToolError: the runtime is not installed, or cannot load the file.
    """
    if threads is not None and threads < 1:
        raise RequestError(f"{threads} threads asked; give 1 or more, or none for all cores")
    card = runtime_of(path, runtime)
    assert card.open is not None, "candidates open files"
    return card.open(path, threads, exact_int8)


def read_manifest(path: Path) -> dict[str, object] | None:
    """The manifest embedded in an artifact; None where it carries none.

    Raises:
        RequestError: no such file, or a suffix that no runtime opens.
        CheckError: the manifest is damaged.
        ToolError: the runtime is not installed, or the file cannot be read.
    """
    return candidates(path)[0].read_manifest(path)


def runtime_of(path: Path, name: str | None = None) -> Runtime:
    """The runtime that opens an artifact: the one named, or the first installed; where none is, the first.

    Raises:
        RequestError: no such file, no such runtime, or a suffix that it does not open.
    """
    able = candidates(path)
    if name is not None:
        chosen = RUNTIMES.get(name, "runtime")
        if chosen not in able:
            opens = ", ".join(each.name for each in able)
            raise RequestError(f"runtime {name} does not open {path.suffix} ({path.name}); these do: {opens}")
        return chosen
    if len(able) == 1:
        return able[0]
    return next((each for each in able if each.is_usable()), able[0])


def candidates(path: Path) -> list[Runtime]:
    """Every runtime that opens an artifact's format.

    Raises:
        RequestError: no such file, or a suffix that no runtime opens.
    """
    cards = [card for card in RUNTIMES.cards().values() if card.open]
    able = [each for each in cards if path.suffix in each.suffixes]
    if not able:
        supported = ", ".join(dict.fromkeys(suffix for each in cards for suffix in each.suffixes))
        raise RequestError(f"no runtime opens {path.name}: suffix {path.suffix or 'none'!r}; supported: {supported}")
    if not path.exists():
        raise RequestError(f"artifact {path} does not exist")
    if not (path.is_file() or path.is_dir()):  # a pipe would block for ever
        raise RequestError(f"artifact {path} is not a regular file")
    return able


def measuring() -> dict[str, Runtime]:
    """Runtimes that devices measure in, by name."""
    return {name: card for name, card in RUNTIMES.cards().items() if card.measures}


def measured_suffixes() -> list[str]:
    """Suffixes of the artifacts that devices measure."""
    return list(dict.fromkeys(suffix for card in measuring().values() for suffix in card.suffixes))
