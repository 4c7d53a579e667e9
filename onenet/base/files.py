"""Writing so that a failure leaves nothing behind: a temporary sibling first, then one rename."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from onenet.errors import RequestError, ToolError

if sys.platform != "win32":
    import fcntl

FULL = (errno.ENOSPC, errno.EDQUOT)
PREFIX = ".onenet-"
"""Of temporary folders."""
UNHELD = ".new-onenet-"
"""Of one that is not held yet, so that nobody takes it for one that was left."""


@contextmanager
def temporary_folder(out: Path | None = None) -> Iterator[Path]:
    """A scratch folder, removed whatever happens (Ctrl-C included); those of processes that were killed are removed with it.

    Args:
        out: it lies in this folder, and so on the same file system; in the system's own place unless given.

    Raises:
        RequestError: ``out`` cannot be made or written.
        ToolError: the disk is full or fails while writing.
    """
    out = Path(tempfile.gettempdir()) if out is None else out
    try:
        out.mkdir(parents=True, exist_ok=True)
        remove_left(out)
        new = Path(tempfile.mkdtemp(prefix=UNHELD, dir=out))
        holding = hold(new)
        folder = new.rename(new.with_name(PREFIX + new.name[len(UNHELD) :]))
    except OSError as error:
        raise unwritable(out, error) from error
    try:
        yield folder
    except OSError as error:
        # shutil.Error, which copying a folder raises, has the reason in its text only.
        if error.errno in FULL or any(os.strerror(number) in str(error) for number in FULL):
            raise ToolError(f"the disk under {out} is full; nothing was written there") from error
        raise ToolError(f"writing under {out} failed: {error.strerror or error}; nothing was written there") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        release(holding)


def remove_left(out: Path) -> None:
    """Remove temporary folders that nobody holds: their process was killed."""
    for folder in out.glob(f"{PREFIX}*"):
        with held(folder) as free:
            if free:
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Hold a folder for a moment. Gives whether it is ours: nobody else holds it."""
    holding = hold(folder)
    try:
        yield holding is not None
    finally:
        release(holding)


def hold(folder: Path) -> int | None:
    """Lock a folder until this process releases it or ends; None where another holds it, or the system knows no locks."""
    if sys.platform == "win32":  # what a killed process left there stays
        return None
    try:
        holding = os.open(folder, os.O_RDONLY)
    except OSError:  # gone by now, or another user's
        return None
    try:
        fcntl.flock(holding, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # held; or a file system without locks
        os.close(holding)
        return None
    return holding


def release(holding: int | None) -> None:
    """Undo ``hold``."""
    if holding is not None:
        os.close(holding)


def check_folder(out: Path) -> None:
    """Refuse a folder that ``temporary_folder`` could not write, before any work and without making it.

    Raises:
        RequestError: ``out`` cannot be made or written.
    """
    there = next(each for each in (out.absolute(), *out.absolute().parents) if os.path.lexists(each))
    try:
        Path(tempfile.mkdtemp(prefix=PREFIX, dir=there)).rmdir()
    except OSError as error:
        raise unwritable(out, error) from error


def unwritable(out: Path, error: OSError) -> RequestError:
    """The error for an output folder that cannot be written."""
    return RequestError(f"output folder {out} cannot be written: {error.strerror or error}; choose another --out")


def publish(temporary: Path, final: Path) -> None:
    """Put a finished file or folder under its final name, replacing what was there in one rename where the system can."""
    if not temporary.is_dir() or not final.exists():
        os.replace(temporary, final)
    elif not exchange(temporary, final):
        step_aside(temporary, final)


def step_aside(temporary: Path, final: Path) -> None:
    """Replace a folder in two renames: for a moment there is none under its name."""
    backup = temporary.with_name(temporary.name + ".old")
    try:
        os.replace(final, backup)
        os.replace(temporary, final)
    except BaseException:  # Ctrl-C included: the old folder must not go with the temporary one
        if backup.exists() and not final.exists():
            os.replace(backup, final)
        raise


def exchange(first: Path, second: Path) -> bool:
    """Two folders change names in one step (Linux: renameat2, macOS: renamex_np). False where the system cannot."""
    here, flag = -100, 2  # AT_FDCWD; RENAME_EXCHANGE, and RENAME_SWAP of macOS
    names = os.fsencode(first), os.fsencode(second)
    with suppress(AttributeError, OSError, TypeError):  # no such library, or no such function in it
        library = ctypes.CDLL(None)
        if hasattr(library, "renameat2"):
            return bool(library.renameat2(here, names[0], here, names[1], flag) == 0)
        return bool(library.renamex_np(*names, flag) == 0)
    return False


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    return path.stat().st_size if path.is_file() else sum(p.stat().st_size for p in path.rglob("*") if p.is_file())


def sha256_of(path: Path) -> str:
    """SHA-256 of a file; of a folder, over the relative names and contents of its files in order."""
    digest = hashlib.sha256()
    for each in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        if each != path:
            digest.update(each.relative_to(path).as_posix().encode() + b"\0")
        with each.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
