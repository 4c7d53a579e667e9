"""TOML that a user wrote: budgets and campaigns."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from onenet.base.text import one_line
from onenet.errors import RequestError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LARGEST = 1 << 20
"""Bytes."""


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The content of a file; ``what`` it is, for errors.

    Raises:
        RequestError: it cannot be read, is too large, or is no TOML.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise RequestError(f"{what} {path} is larger than {LARGEST} bytes; that is no {what}")
        return dict(tomllib.loads(data.decode()))
    except OSError as error:
        raise RequestError(f"{what} {path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{what} {path} is not TOML ({one_line(error)})") from error
