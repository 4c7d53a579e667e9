"""Writing so that a failure leaves nothing behind: a temporary sibling first, then one rename."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onenet.errors import RequestError, ToolError

FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def temporary_folder(out: Path) -> Iterator[Path]:
    """A scratch folder on the same file system as ``out``, removed whatever happens (Ctrl-C included).

    Raises:
        RequestError: ``out`` cannot be made or written.
        ToolError: the disk is full or fails while writing.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".onenet-", dir=out))
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


def check_folder(out: Path) -> None:
    """Refuse a folder that ``temporary_folder`` could not write, before any work and without making it.

    Raises:
        RequestError: ``out`` cannot be made or written.
    """
    there = next(each for each in (out.absolute(), *out.absolute().parents) if os.path.lexists(each))
    try:
        Path(tempfile.mkdtemp(prefix=".onenet-", dir=there)).rmdir()
    except OSError as error:
        raise unwritable(out, error) from error


def unwritable(out: Path, error: OSError) -> RequestError:
    """The error for an output folder that cannot be written."""
    return RequestError(f"output folder {out} cannot be written: {error.strerror or error}; choose another --out")


def publish(temporary: Path, final: Path) -> None:
    """Put a finished file or folder under its final name, replacing what was there in one rename."""
    if not temporary.is_dir():
        os.replace(temporary, final)
        return
    backup = temporary.with_name(temporary.name + ".old")  # a folder cannot replace a folder: step aside first
    try:
        if final.exists():
            os.replace(final, backup)
        os.replace(temporary, final)
    except BaseException:  # Ctrl-C included: the old folder must not go with the temporary one
        if backup.exists() and not final.exists():
            os.replace(backup, final)
        raise


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
