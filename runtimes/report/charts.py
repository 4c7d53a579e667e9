"""The charts of the page, as inline SVG in the page's own colours: each figure is also in one of its tables.

Colour says the target and shape the precision, so that every kind of colour vision, and print, tells them apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from markupsafe import Markup

from onenet.runtimes.agent.records import SustainedRun
from onenet.runtimes.report.svg import Axis, Drawing, axis, number
from onenet.targets import TARGETS

WIDTH, HEIGHT = 380, 270
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 30, 40
"""Margins of the plot: axis labels are there."""
WIDE = 1000
LETTER = 6.7
"""Width of a letter of 11.5 px, on average, in the widest of the page's fonts."""
RADIUS = 5.5
"""Radius of a marker."""


@dataclass(frozen=True)
class Point:
    """One artifact in a chart of costs against quality."""

    label: str
    x: float
    y: float
    target: str
    precision: str
    detail: str
    front: bool = False
    """No other point is better in one and at least as good in the other."""


Place = tuple[float, float, Point]
"""A point and where it lies in the drawing."""


def colour(target: str) -> str:
    """The style sheet's class."""
    return f"c-{target}" if target in TARGETS.cards() else "c-other"


def pareto(points: Sequence[Point]) -> list[Point]:
    """Less x and more y is better."""

    def beaten(point: Point) -> bool:
        return any(o.x <= point.x and o.y >= point.y and (o.x, o.y) != (point.x, point.y) for o in points)

    return [replace(each, front=not beaten(each)) for each in points]


def scatter(points: Sequence[Point], x_name: str, y_name: str) -> Markup:
    """Cost against quality, with the Pareto front as steps; points are named as far as names have room, the front's first."""
    points = sorted(pareto(points), key=lambda each: (each.x, each.y))
    best = ", ".join(each.label for each in points if each.front)
    drawing = Drawing(WIDTH, HEIGHT, f"{y_name} against {x_name} of {len(points)} artifacts; on the Pareto front: {best}")
    across = axis([each.x for each in points], LEFT, WIDTH - RIGHT, logarithmic=True)
    up = axis([each.y for each in points], HEIGHT - BOTTOM, TOP)
    front = [(across(each.x), up(each.y)) for each in points if each.front]
    corners = (place for a, b in pairwise(front) for place in ((b[0], a[1]), b))
    steps = [(front[0][0], up.start), front[0], *corners, (across.end, front[-1][1])]
    drawing.area("beaten", steps, [(across.end, up.start)])
    draw_axes(drawing, across, up, x_name, y_name)
    drawing.line("front", steps)
    groups = together([(across(each.x), up(each.y), each) for each in points])
    for group in groups:
        for i, (x, y, each) in enumerate(group):
            drawing.add(
                "path",
                f"mark {colour(each.target)}",
                title=each.detail,
                d=marker(each.precision, x, y, RADIUS + 3 * (len(group) - 1 - i)),
            )
    draw_names(drawing, groups, steps)
    return drawing.markup()


def together(places: Sequence[Place]) -> list[list[Place]]:
    """Points that would lie on one another; they get markers around one another, and one name."""
    groups: list[list[Place]] = []
    for place in places:
        near = (group for group in groups if abs(group[0][0] - place[0]) + abs(group[0][1] - place[1]) < RADIUS)
        group = next(near, None)
        if group is None:
            groups.append([place])
        else:
            group.append(place)
    return groups


def draw_axes(drawing: Drawing, across: Axis, up: Axis, x_name: str, y_name: str, *, x_ticks: int = 5) -> None:
    """Draw both axes: a grid line and a number for each tick, and the axes' names."""
    drawing.label(across.start - LEFT + 6, min(up.start, up.end) - 14, y_name, "name")
    for value, text in with_text(up, 5):
        drawing.line("grid", [(across.start, up(value)), (across.end, up(value))])
        drawing.label(across.start - 6, up(value) + 4, text, "tick", "end")
    for value, text in with_text(across, x_ticks):
        drawing.line("grid", [(across(value), up.start), (across(value), up.start + 4)])
        drawing.label(across(value), up.start + 16, text, "tick", "middle")
    if x_name:
        drawing.label(across.end, up.start + 33, x_name, "name", "end")
    drawing.line("axis", [(across.start, up.start), (across.end, up.start)])


def with_text(scale: Axis, most: int) -> list[tuple[float, str]]:
    """At most ``most`` ticks of an axis, each with its number as text."""
    values = scale.ticks(most)
    step = values[1] - values[0] if len(values) > 1 and not scale.logarithmic else None
    return [(value, number(value, step)) for value in values]


def marker(precision: str, x: float, y: float, r: float) -> str:
    """The outline of a precision's shape: circle, square, triangle, diamond; anything else a cross."""
    if precision == "fp32":
        return f"M{x - r:.1f} {y:.1f}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0Z"
    corners = {
        "fp16": [(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)],
        "int8": [(0, -1.15), (1.1, 0.85), (-1.1, 0.85)],
        "w8": [(0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)],
    }
    cross = [
        (-1, -0.4),
        (-0.4, -1),
        (0, -0.6),
        (0.4, -1),
        (1, -0.4),
        (0.6, 0),
        (1, 0.4),
        (0.4, 1),
        (0, 0.6),
        (-0.4, 1),
        (-1, 0.4),
    ]
    places = corners.get(precision, [*cross, (-0.6, 0)])
    return "M" + "L".join(f"{x + r * dx:.1f} {y + r * dy:.1f}" for dx, dy in places) + "Z"


def draw_names(drawing: Drawing, groups: Sequence[Sequence[Place]], steps: Sequence[tuple[float, float]]) -> None:
    """Names beside their points, off points, names and front; on the front where it must be, for those that lie on it."""
    taken = [(x - 7, y - 7, x + 7, y + 7) for group in groups for x, y, _ in group[:1]]
    front = [(min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1])) for a, b in pairwise(steps)]
    for group in sorted(groups, key=lambda each: not any(point.front for *_, point in each)):
        x, y, _ = group[0]
        name, on_front = ", ".join(point.label for *_, point in group), any(point.front for *_, point in group)
        width = len(name) * LETTER
        free = (each for each in candidates(x, y, width) if is_free(each.box, [*taken, *front]))
        crossing = (each for each in candidates(x, y, width) if on_front and is_free(each.box, taken))
        spot = next(free, None) or next(crossing, None)
        if spot is not None:
            drawing.label(spot.x, spot.y, name, "point" if on_front else "point weak", spot.anchor)
            taken.append(spot.box)


Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Spot:
    """Where a name may stand."""

    x: float
    y: float
    anchor: str
    box: Box


def candidates(x: float, y: float, width: float) -> Iterator[Spot]:
    """Around a point, the best place first; a name that finds none is left to the table."""
    beside = [(x + 11, y + 4, 0.0), (x - 11, y + 4, 1.0)]
    above_below = [(x, y - 12, 0.5), (x, y + 20, 0.5)]
    corners = [(x + 7, y - 10, 0.0), (x - 7, y - 10, 1.0), (x + 7, y + 18, 0.0), (x - 7, y + 18, 1.0)]
    for left, base, share in (*beside, *above_below, *corners):
        start = left - width * share
        yield Spot(left, base, {0.0: "start", 0.5: "middle", 1.0: "end"}[share], (start, base - 9, start + width, base + 2))


def is_free(box: Box, taken: Iterable[Box]) -> bool:
    """Whether a box (left, top, right, bottom) lies inside the chart and on no other."""
    inside = box[0] >= LEFT and box[2] <= WIDTH - 2 and box[1] >= TOP - 14 and box[3] <= HEIGHT - BOTTOM - 1
    return inside and not any(overlap(box, other) for other in taken)


def overlap(a: Box, b: Box) -> bool:
    """Whether two boxes (left, top, right, bottom) share an area."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


BAR, SHAPE_HEIGHT, BINS = 200, 26, 72


def bar(p50: float, p90: float, p99: float, largest: float, target: str) -> Markup:
    """From 0: the median as a bar, up to p90 and p99 as two fainter ones."""
    drawing = Drawing(BAR, 14, f"median {p50:.4g} ms, p90 {p90:.4g} ms, p99 {p99:.4g} ms", preserveAspectRatio="none")
    scale = Axis(0, largest, 0, BAR)
    for css, value in (("faintest", p99), ("faint", p90), ("", p50)):
        drawing.add("rect", f"fill {colour(target)} {css}".strip(), x=0, y=1, width=max(scale(value), 0.5), height=12)
    return drawing.markup()


def shape(rounds: Sequence[Sequence[float]], low: float, high: float, target: str) -> Markup:
    """How the samples lie around their median, from ``low`` to ``high`` (relative); below, the median of each round."""
    together = np.concatenate([np.asarray(each, float) for each in rounds])
    median = float(np.median(together)) or 1.0
    relative = np.clip(together / median - 1, low, high)
    counts = np.histogram(relative, BINS, (low, high))[0].astype(float)
    smooth = np.convolve(np.pad(counts, 2, "edge"), np.array([1, 4, 6, 4, 1]) / 16, "valid")
    heights = np.sqrt(smooth / max(smooth.max(), 1e-9))  # a square root: rare slow runs stay visible
    medians = [float(np.median(each)) / median - 1 for each in rounds]
    words = ", ".join(f"{each:+.1%}" for each in medians)
    drawing = Drawing(
        BAR, SHAPE_HEIGHT, f"distribution around the median; medians of the rounds: {words}", preserveAspectRatio="none"
    )
    scale = Axis(low, high, 0, BAR)
    places = [scale(low + (i + 0.5) * (high - low) / BINS) for i in range(BINS)]
    floor = SHAPE_HEIGHT - 6
    upper = [(x, floor - (floor - 1) * float(h)) for x, h in zip(places, heights, strict=True)]
    drawing.area(f"fill {colour(target)} faint", upper, [(places[0], floor), (places[-1], floor)])
    drawing.line("axis thin", [(scale(0), 0), (scale(0), floor)])
    for each in medians:
        drawing.line("dot", [(scale(each), floor + 1), (scale(each), SHAPE_HEIGHT)])
    return drawing.markup()


def shape_range(rows: Iterable[Sequence[Sequence[float]]]) -> tuple[float, float]:
    """One range for the shapes of several rows: where nearly all samples are, in whole percents."""
    lows, highs = [], []
    for rounds in rows:
        together = np.concatenate([np.asarray(each, float) for each in rounds])
        relative = together / (float(np.median(together)) or 1.0) - 1
        low, high = np.percentile(relative, (0.5, 99))
        lows.append(float(low))
        highs.append(float(high))
    return -min(max(0.02, np.ceil(-100 * min(lows)) / 100), 0.5), min(max(0.05, np.ceil(100 * max(highs)) / 100), 1.0)


def sustained(run: SustainedRun, target: str, title: str) -> Markup:
    """Median, p90 and p99 of every minute, from 0."""
    words = f"{title}: milliseconds by minute, {run.drop_percent:+.1f} % from the first minute to the last"
    drawing = Drawing(WIDTH, HEIGHT, words)
    last = max(run.minutes[-1].minute, 2)
    across = Axis(0.5, last + 0.5, LEFT, WIDTH - RIGHT, whole=True)
    up = axis([each.p99_ms for each in run.minutes] + [0.0], HEIGHT - BOTTOM, TOP, zero=True)
    draw_axes(drawing, across, up, "minute", "ms", x_ticks=8)
    line = {name: [(across(m.minute), up(getattr(m, name))) for m in run.minutes] for name in ("p50_ms", "p90_ms", "p99_ms")}
    drawing.area(f"fill {colour(target)} faintest", line["p99_ms"], line["p50_ms"])
    drawing.area(f"fill {colour(target)} faint", line["p90_ms"], line["p50_ms"])
    drawing.line(f"line {colour(target)}", line["p50_ms"])
    for minute, (x, y) in zip(run.minutes, line["p50_ms"], strict=True):
        drawing.add("circle", f"mark {colour(target)}", title=minute_text(minute.minute, minute.p50_ms), cx=x, cy=y, r=3)
    return drawing.markup()


def heat(seconds: Sequence[float], series: Mapping[str, Sequence[float | None]], unit: str, title: str) -> Markup:
    """What sensors said over the whole measurement; a line for each, named at its end."""
    drawing = Drawing(WIDTH, HEIGHT, f"{title}: {', '.join(series)}, {unit} over the measurement")
    known = [value for values in series.values() for value in values if value is not None]
    minutes = [each / 60 for each in seconds]
    across = Axis(0, max(minutes[-1], 0.05), LEFT, WIDTH - RIGHT)
    up = axis(known, HEIGHT - BOTTOM, TOP)
    draw_axes(drawing, across, up, "minutes since the measurement began", unit, x_ticks=6)
    for i, values in enumerate(series.values()):
        places = [(across(x), up(value)) for x, value in zip(minutes, values, strict=True) if value is not None]
        drawing.line(f"line s{i % SERIES}", places)
    for i, name in enumerate(series):
        drawing.label(WIDTH - RIGHT, HEIGHT - BOTTOM - 8 - 14 * i, name[:40], f"point s{i % SERIES}", "end")
    return drawing.markup()


SERIES = 4
"""Colours for lines that are no target."""


def minute_text(minute: int, ms: float) -> str:
    """What is shown beside a point of a sustained run."""
    return f"minute {minute}: {ms:.4g} ms"


@dataclass(frozen=True)
class Curve:
    """SQNR of an artifact's layers by place; None where it has no such layer."""

    label: str
    css: str
    values: Sequence[float | None]
    bad: int | None = None
    """Place of the first layer that is wrong by itself."""


def layers(curves: Sequence[Curve], names: Sequence[str], highest: float = 160.0) -> Markup:
    """SQNR against the float network, layer by layer; the broadest curve is the int8 reference."""
    words = "; ".join(f"{each.label}, first bad layer {names[each.bad]}" for each in curves if each.bad is not None)
    drawing = Drawing(WIDE, 300, f"SQNR of {len(names)} layers of {', '.join(each.label for each in curves)}. {words}".strip())
    known = [min(value, highest) for each in curves for value in each.values if value is not None]
    across = Axis(-0.5, max(len(names) - 0.5, 0.5), LEFT, WIDE - RIGHT, whole=True)
    up = axis(known or [0.0], 300 - BOTTOM, TOP)
    draw_axes(drawing, across, up, "layer, from input to output", "dB", x_ticks=12)
    for each in curves:
        places = [(across(i), up(min(value, highest))) for i, value in enumerate(each.values) if value is not None]
        if each.bad is not None:
            drawing.line(
                "bad", [(across(each.bad), up.start), (across(each.bad), up.end)], f"first bad layer: {names[each.bad]}"
            )
        if places:
            drawing.line(f"line {each.css}", places)
    for place, name in enumerate(names):
        said = [f"{c.label} {c.values[place]:.1f} dB" for c in curves if c.values[place] is not None]
        drawing.add(
            "rect", "hover", title="\n".join([name, *said]), x=across(place - 0.5), y=up.end, width=across(1) - across(0),
            height=up.start - up.end,
        )  # fmt: skip
    return drawing.markup()
