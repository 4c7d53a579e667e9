"""The little of SVG that the report's charts need. The XML writer escapes text; the page's style sheet has the colours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from markupsafe import Markup


class Drawing:
    """An inline ``<svg>`` of ``width`` x ``height`` units, described in words for those who cannot see it."""

    def __init__(self, width: float, height: float, description: str, **attributes: str) -> None:
        view = {"viewBox": f"0 0 {short(width)} {short(height)}", "role": "img", "aria-label": description}
        self.width, self.height = width, height
        self.root = ElementTree.Element("svg", {**view, **attributes})

    def add(
        self, tag: str, css: str = "", text: str | None = None, title: str | None = None, **attributes: float | str
    ) -> None:
        """An element; ``title`` is shown where a mouse rests on it. Underscores in names stand for hyphens."""
        values = {
            name.replace("_", "-"): value if isinstance(value, str) else short(value) for name, value in attributes.items()
        }
        element = ElementTree.SubElement(self.root, tag, {**({"class": css} if css else {}), **values})
        element.text = text
        if title is not None:
            ElementTree.SubElement(element, "title").text = title

    def line(self, css: str, points: Iterable[tuple[float, float]], title: str | None = None) -> None:
        """A line through points (x, y) in pixels, in a style of the page."""
        self.add("path", css, title=title, d="M" + "L".join(f"{short(x)} {short(y)}" for x, y in points))

    def area(self, css: str, upper: Sequence[tuple[float, float]], lower: Sequence[tuple[float, float]]) -> None:
        """What lies between two lines with points from left to right."""
        self.add("path", css, d="M" + "L".join(f"{short(x)} {short(y)}" for x, y in [*upper, *reversed(lower)]) + "Z")

    def label(self, x: float, y: float, text: str, css: str = "", anchor: str = "start") -> None:
        """A text at (x, y) in pixels."""
        self.add("text", css, text, x=x, y=y, text_anchor=anchor)

    def markup(self) -> Markup:
        """The drawing as an ``<svg>`` element for the page."""
        # The XML writer has escaped every text; control characters, which no XML may hold, were spelled out on arrival.
        return Markup(ElementTree.tostring(self.root, encoding="unicode", short_empty_elements=True))


@dataclass(frozen=True)
class Axis:
    """From values to units of the drawing."""

    low: float
    high: float
    start: float
    """Where ``low`` lies in the drawing, and ``end`` where ``high`` does."""
    end: float
    logarithmic: bool = False
    whole: bool = False
    """Only whole numbers are marked."""

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(max(value, 1e-9))
        share = (value - low) / (high - low)
        return self.start + (self.end - self.start) * min(max(share, -0.05), 1.05)

    def ticks(self, most: int = 5) -> list[float]:
        """At most about ``most`` round values on the axis, ascending."""
        if self.logarithmic:
            return log_ticks(self.low, self.high)
        return [each for each in ticks(self.low, self.high, most) if not self.whole or each == int(each)]


LOGARITHMIC = 8
"""Ratio of the largest to the smallest value from which an axis is logarithmic."""


def axis(values: Sequence[float], start: float, end: float, *, zero: bool = False, logarithmic: bool = False) -> Axis:
    """An axis on which all values have room; with ``zero`` it begins there."""
    low, high = min(values), max(values)
    if logarithmic and low > 0 and high / low > LOGARITHMIC:
        return Axis(low / 1.25, high * 1.25, start, end, True)
    room = 0.12 * (high - low) or abs(high) * 0.05 or 1.0
    return Axis(0.0 if zero else low - room, high + room, start, end)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers between two numbers: steps of 1, 2 or 5 times a power of ten, at most ``most`` of them."""
    span = high - low
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next((factor * power for factor in (1, 2, 5) if span / (factor * power) <= most), 10 * power)
    first = math.ceil(low / step - 1e-9)
    count = math.floor(high / step + 1e-9) - first + 1
    return [round((first + i) * step, 12) for i in range(count)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten; over more than two decades only the powers."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if high / low < 200 else (1,)
    found = [factor * 10.0**power for power in powers for factor in factors]
    return [each for each in found if low <= each <= high]


def number(value: float, step: float | None = None) -> str:
    """As an axis shows it: no more digits than its steps have."""
    if step:
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        return f"{value:,.{digits}f}"
    return f"{value:,.6g}"


def short(value: float) -> str:
    """A hundredth of a unit cannot be seen."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
