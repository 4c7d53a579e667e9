"""Texts for a person: one line, whatever a file or another library says."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

STYLE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
"""What a terminal takes for a colour or a movement (ECMA-48, control sequences)."""


def shape_text(shape: tuple[int, ...]) -> str:
    """(1, 3, -1, 8) as ``1x3x?x8``; a scalar as ``scalar``."""
    return "x".join("?" if n < 0 else str(n) for n in shape) or "scalar"


def one_line(error: BaseException | str) -> str:
    """An exception's text, or one with names from a file, on one line of at most 300 characters.

    What a terminal would obey, and half a surrogate pair, which has no encoding, are spelled out.
    """
    text = spelled_out(" ".join(str(error).split())[:1000]) or type(error).__name__
    return text if len(text) <= 300 else text[:297] + "..."


def spelled_out(text: str) -> str:
    """A text with what a terminal would obey, or cannot encode, as ``\\x1b``; ends of lines stay."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text)


def first_line(error: BaseException) -> str:
    """The first non-empty line of an exception's text, or its type."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def without_style(text: str) -> str:
    """A text that was made for a terminal, without its colours, and of lines that were written over only the last state."""
    return "\n".join(STYLE.sub("", line).rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))


def printable(text: str) -> str:
    """Names out of a damaged or foreign file may hold anything; a message is one line."""
    return "".join(each if each.isprintable() else "?" for each in text)


def near(name: object, known: Iterable[str]) -> str:
    """``; did you mean onenet-ed4?`` where a known name looks like it, for a message; else empty."""
    found = difflib.get_close_matches(str(name).lower(), list(known), 1)
    return f"; did you mean {found[0]}?" if found else ""
