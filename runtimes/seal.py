"""Is a file still what was exported? A digest of its content, kept in the manifest inside it.

The digest is part of the content that it is of, so it is taken with another text, ``OPEN``, in its place. It is no signature:
who changes a file on purpose can renew it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

FIELD = "content_sha256"
"""Of the manifest."""
OPEN = hashlib.sha256(b"onenet: not sealed").hexdigest()
"""Stands for the digest while there is none, and in formats that do not hold the manifest's text as it is."""


def seal(path: Path) -> str:
    """Put the digest of an artifact's content into its embedded manifest, where ``OPEN`` is.

    Returns:
        The digest; ``OPEN`` where that is not exactly once in the artifact, which is not changed then.
    """
    digest = content_digest(path, OPEN)
    places = [(each, content) for each, content in contents(path) if OPEN.encode() in content]
    if len(places) != 1 or places[0][1].count(OPEN.encode()) != 1:
        return OPEN
    ((file, content),) = places
    file.write_bytes(content.replace(OPEN.encode(), digest.encode()))
    return digest


def content_digest(path: Path, digest: str) -> str:
    """SHA-256 of an artifact, with ``OPEN`` wherever ``digest`` is; of a folder, over the names and contents of its files."""
    found = hashlib.sha256()
    for file, content in contents(path):
        if file != path:
            found.update(file.relative_to(path).as_posix().encode() + b"\0")
        found.update(content.replace(digest.encode(), OPEN.encode()))
    return found.hexdigest()


def contents(path: Path) -> Iterator[tuple[Path, bytes]]:
    """The files of an artifact, in order."""
    for each in [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file()):
        yield each, each.read_bytes()


def is_whole(path: Path, manifest: Mapping[str, object]) -> bool | None:
    """Whether an artifact is what its embedded manifest was sealed with; None where it has no seal."""
    digest = manifest.get(FIELD)
    if not isinstance(digest, str) or digest == OPEN or not re.fullmatch("[0-9a-f]{64}", digest):
        return None
    return content_digest(path, digest) == digest
