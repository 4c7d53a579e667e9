"""Small tables of results: as text for a terminal, as HTML for a notebook."""

from __future__ import annotations

import html
from collections.abc import Sequence


def text_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns below their heads, two blanks between them; every row has as many cells as there are heads."""
    widths = [max(map(len, column)) for column in zip(heads, *rows)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in (heads, *rows))
    return "\n".join(lines)


def html_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same as a ``<table>``; cells are text, whatever they hold."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in heads)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
