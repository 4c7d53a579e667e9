"""A white picture to write on: texts and squares by matplotlib, pixels by numpy."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onenet.base.host import require
from onenet.errors import RequestError

Pixels = NDArray[np.uint8]


GAP, MARGIN = 12, 24
ENTRY = 18
"""Size of the legend's letters."""
SWATCH = 28
"""Width of a colour square and the space after it."""
DPI = 72
"""At which a point is a pixel."""
INK, GREY = "#1f2328", "#59636e"
DIFFERS = "#ff2d95"
"""Pink: in no class palette, and bright against the dimmed image for every kind of colour vision."""


class Page:
    """A white picture to write on; x and y in pixels from the top left, y at the middle of a line of text."""

    def __init__(self, width: int, height: int) -> None:
        figure = import_matplotlib("figure")
        self.width, self.height = width, height
        self.figure = figure.Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")

    def text(self, x: float, y: float, text: str, size: float, colour: str = INK, *, bold: bool = False) -> None:
        """One line, made smaller if it would leave the page."""
        while size > 1 and text_width(text, size, bold) > self.width - MARGIN - x:
            size -= 0.5  # in steps, because hinted letters do not scale evenly
        at = (x / self.width, 1 - (y + 0.36 * size) / self.height)  # half the height of a capital letter
        self.figure.text(*at, text, fontproperties=font(size, bold), color=colour, va="baseline", parse_math=False)

    def entry(self, x: float, y: float, text: str, colour: str) -> None:
        """A square of a colour and what it stands for."""
        patches = import_matplotlib("patches")
        corner, side = (x + 0.5, self.height - y - 8.5), 17
        square = patches.Rectangle(corner, side, side, facecolor=colour, edgecolor=GREY, linewidth=1, transform=None)
        self.figure.add_artist(square)
        self.text(x + SWATCH, y, text, ENTRY)

    def pixels(self) -> Pixels:
        """(height, width, 3), writable."""
        canvas = import_matplotlib("backends.backend_agg").FigureCanvasAgg(self.figure)
        canvas.draw()
        return np.array(canvas.buffer_rgba())[..., :3]


def text_width(text: str, size: float, bold: bool = False) -> float:
    """Pixels that a line takes."""
    renderer = import_matplotlib("backends.backend_agg").RendererAgg(1, 1, DPI)
    return float(renderer.get_text_width_height_descent(text, font(size, bold), ismath=False)[0])


def font(size: float, bold: bool) -> Any:
    """DejaVu Sans comes with matplotlib, so that the picture does not depend on the fonts of the machine."""
    properties = import_matplotlib("font_manager").FontProperties
    return properties(family="DejaVu Sans", weight="bold" if bold else "normal", size=size)


def import_matplotlib(module: str) -> Any:
    """A module of matplotlib. Raises ToolError where it is not installed."""
    return require(f"matplotlib.{module}", "report")


def rgb(colour: str) -> tuple[int, int, int]:
    """``#rrggbb`` as three bytes."""
    if not re.fullmatch("#[0-9a-fA-F]{6}", colour):
        raise RequestError(f"class colour {colour!r} is not of the form #rrggbb")
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue
