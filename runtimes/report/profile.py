"""A picture of where an artifact loses its precision: SQNR against the float network, layer by layer.

One line per artifact above a broad grey one for the int8 reference. Where they part, a converter or a runtime does something
else than the calibration says. The first bad layer is marked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onenet.base.drawing import DIFFERS, ENTRY, GAP, GREY, MARGIN, SWATCH, Page, font, text_width
from onenet.base.files import publish, temporary_folder
from onenet.errors import RequestError
from onenet.runtimes.layers import Profile, Row, side_by_side
from onenet.targets import TARGETS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, PLOT = 1376, 360
"""Pixels; as wide as a preview, which a README shows at about 1000."""
AXIS = 64
"""Left of the plot, for the numbers."""
TITLE, SUBTITLE, LEGEND, NAMES = 48, 36, 52, 110
"""Heights in pixels of the lines of text."""
LABEL = 16
"""Size of the axes' letters."""
MOST_NAMES = 60
"""Layers that are all named; of more, every second, third, ... is."""
EQUAL = 160.0
"""dB at which equal values, whose SQNR is infinite, are drawn: beyond what float32 arithmetic leaves."""


@dataclass(frozen=True)
class LineStyle:
    """How a line is drawn. Lines that agree lie on one another: each is narrower than the one below it."""

    name: str
    colour: str
    width: float
    marker: str = ""


REFERENCE = LineStyle("int8 reference", "#c4ccd4", 14)


def draw_profiles(path: Path, profiles: Sequence[Profile], title: str) -> None:
    """Write the SQNR profile of artifacts of one network as a PNG; the same arguments give the same bytes.

    Layers that only move values are left out, unless one is wrong.

    Raises:
        RequestError: no layer to draw.
        ToolError: matplotlib is missing, or the file cannot be written.
    """
    rows = [row for row in side_by_side(profiles) if any(each and (each.wrong or not each.moves) for each in row.layers)]
    if not rows:
        raise RequestError("there is no layer to draw")
    page = Page(WIDTH, 2 * MARGIN + TITLE + SUBTITLE + LEGEND + PLOT + NAMES)
    page.text(MARGIN, MARGIN + TITLE / 2, title, 28, bold=True)
    subtitle = "SQNR of each layer against the float network, in dB, on the golden image"
    page.text(MARGIN, MARGIN + TITLE + SUBTITLE / 2, subtitle, 20, GREY)
    draw_legend(page, profiles)
    left, bottom = MARGIN + AXIS, MARGIN + NAMES
    width = page.width - left - MARGIN
    axes = page.figure.add_axes((left / page.width, bottom / page.height, width / page.width, PLOT / page.height))
    for line, values in lines_of(rows, profiles):
        draw_line(axes, line, values)
    draw_axes(axes, rows)
    mark_first_bad(axes, rows, profiles)
    with temporary_folder(path.parent) as folder:
        # Only the pixels: matplotlib's own writer would add its version to the file.
        Image.fromarray(page.pixels()).save(folder / path.name, "PNG", optimize=True)
        publish(folder / path.name, path)


def lines_of(rows: Sequence[Row], profiles: Sequence[Profile]) -> list[tuple[LineStyle, list[float | None]]]:
    """Each line and its value in every row, the broadest first."""
    simulated = [[each.reference_float_db for each in row.layers if each] for row in rows]
    found = [(REFERENCE, [next((db for db in each if db is not None), None) for each in simulated])]
    columns = zip(*(row.layers for row in rows), strict=True)
    for profile, column in zip(profiles, columns, strict=True):
        found.append((line_of(profile), [each.float_db if each else None for each in column]))
    return sorted(found, key=lambda each: -each[0].width)


def line_of(profile: Profile) -> LineStyle:
    """As the target's card says; a thin grey one for what is no target of this version."""
    card = TARGETS.cards().get(profile.target)
    return LineStyle(card.title, card.colour, card.width, card.marker) if card else LineStyle(profile.target, GREY, 2, ".")


def draw_line(axes: Axes, line: LineStyle, values: Sequence[float | None]) -> None:
    """Through the rows that have a value."""
    floats: NDArray[np.float64] = np.array([np.nan if each is None else each for each in values], np.float64)
    known = np.flatnonzero(~np.isnan(floats))
    axes.plot(
        known,
        np.clip(floats[known], -EQUAL, EQUAL),
        solid_joinstyle="round",
        color=line.colour,
        linewidth=line.width,
        marker=line.marker,
        markersize=line.width + 4,
        markeredgewidth=0,
    )


def draw_axes(axes: Axes, rows: Sequence[Row]) -> None:
    """Name the layers below the plot, and draw the grid."""
    places = range(0, len(rows), -(-len(rows) // MOST_NAMES))
    axes.set_xlim(-0.7, len(rows) - 0.3)
    axes.set_xticks(places, [rows[i].operators[0] for i in places], rotation=90)
    low, high = axes.get_ylim()
    axes.set_ylim(low - 3, high + 3)
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set_fontproperties(font(LABEL, False))
    axes.tick_params(colors=GREY, length=0, pad=8)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color="#e4e8ec", linewidth=1)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GREY)


def mark_first_bad(axes: Axes, rows: Sequence[Row], profiles: Sequence[Profile]) -> None:
    """A vertical line at each layer that is the first wrong one of an artifact."""
    bad = {profile.first_bad_layer.name for profile in profiles if profile.first_bad_layer}
    for place, row in enumerate(rows):
        if row.operators[0] in bad:
            axes.axvline(place, color=DIFFERS, linewidth=4, zorder=1)


def draw_legend(page: Page, profiles: Sequence[Profile]) -> None:
    """One entry for each line, and for the first wrong layers."""
    entries = [(f"{line_of(profile).name} {profile.precision}", line_of(profile).colour) for profile in profiles]
    if any(each.reference_float_db is not None for profile in profiles for each in profile.layers):
        entries.append((REFERENCE.name, REFERENCE.colour))
    wrong = [f"{line_of(p).name} {', '.join(p.first_bad_layer.operators)}" for p in profiles if p.first_bad_layer]
    if wrong:
        entries.append((f"first bad layer: {'; '.join(wrong)}", DIFFERS))
    x = float(MARGIN)
    for text, colour in entries:
        page.entry(x, MARGIN + TITLE + SUBTITLE + LEGEND / 2, text, colour)
        x += SWATCH + text_width(text, ENTRY) + 2 * GAP
