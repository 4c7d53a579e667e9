"""Data from files that anybody may have written: JSON of a limited size, and numbers that are numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from onenet.base.text import one_line
from onenet.errors import RequestError

LONGEST_JSON = 16 << 20
"""Bytes. A manifest has some 20 kB; parsed, JSON takes up to 25 times its length in memory."""


def parse_json(text: str | bytes) -> Any:
    """JSON from a file that anybody may have written.

    Raises:
        ValueError: it is not JSON, is nested more deeply than Python's parser goes, or is longer than LONGEST_JSON.
    """
    if len(text) > LONGEST_JSON:
        raise ValueError(f"{len(text)} bytes; the longest that is read is {LONGEST_JSON}")
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def read_json(path: Path, what: str) -> Any:
    """The content of a file that anybody may have written; ``what`` says what it should be.

    Raises:
        RequestError: it cannot be read, is larger than anything that is read, or is not JSON.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would block for ever
            raise RequestError(f"cannot read the {what} {path}: not a regular file")
        with path.open("rb") as stream:
            return parse_json(stream.read(LONGEST_JSON + 1))
    except OSError as error:
        raise RequestError(f"cannot read the {what} {path}: {error.strerror}") from error
    except ValueError as error:
        raise RequestError(f"{path} is no {what}: {one_line(error)}") from error


def is_whole(value: object, least: int = 0) -> bool:
    """Whether it is an integer from ``least`` to 2³¹ - 1; Python's bools are not."""
    return isinstance(value, int) and type(value) is not bool and least <= value < 2**31


def is_real(value: object) -> bool:
    """Whether it is a number that float32 holds."""
    return isinstance(value, (int, float)) and type(value) is not bool and (value == 0 or 1e-37 < abs(value) < 1e38)
