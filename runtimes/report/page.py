"""The report as one HTML page: no script, no request to anywhere, for phones, desks, dark rooms and paper.

Everything in a document is text that somebody else wrote: Jinja escapes it, the XML writer escapes it in charts, and the page's
own policy (Content-Security-Policy) forbids scripts and addresses, should both fail.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from onenet.base.host import require
from onenet.base.tables import html_table, text_table
from onenet.runtimes.agent.records import State, TimedOperator
from onenet.runtimes.layers import Difference, Layer, Profile, Row, side_by_side
from onenet.runtimes.measure.budget import Gate
from onenet.runtimes.measure.document import Measurement
from onenet.runtimes.measure.documents import Documents, Line
from onenet.runtimes.report import charts, summary
from onenet.runtimes.report.charts import Curve, Point
from onenet.runtimes.report.extras import Extras, LayerProfile, Picture, embed
from onenet.runtimes.report.format import FILTERS, figure
from onenet.runtimes.report.summary import EQUAL_DB
from onenet.runtimes.session import RuntimeInfo
from onenet.targets import TARGETS
from onenet.tasks import SQNR, headlines, metrics

if TYPE_CHECKING:
    from jinja2 import Environment

LARGEST = 1_990_000
"""Bytes of a page; pictures are made smaller until it is met."""
MOST_LINES, MOST_DETAILS = 400, 60
"""Rows, and measurements with all details, that a page shows; the CSV and JSON files hold every one."""
TOP_OPERATORS = 8
MOST_QUALITIES = 2
"""Columns of the table that still fit a desk's screen."""


NONE = Extras()
HEADS = ("artifact", "device", "threads", "p50 ms", "golden")


@dataclass(frozen=True)
class Report:
    """What a page shows."""

    documents: Documents
    gates: tuple[Gate, ...] | None = None
    """None: no budget was given."""
    extras: Extras = NONE
    files: tuple[Path, ...] = ()
    """What was written."""

    @property
    def passed(self) -> bool:
        """Whether every gate of the budget passed."""
        return all(gate.passed for gate in self.gates or ())

    def facts(self) -> list[str]:
        """The report in a few lines."""
        return [summary.SIGNS[mood] + text for text, mood in summary.headline(self.documents, self.gates)]

    def cells(self) -> list[list[str]]:
        """Rows of a small table."""
        named = summary.names(self.documents)
        return [
            [named[line.file], line.device, str(line.row.threads), figure(line.p50_ms), line.verdict]
            for line in self.documents.lines()
        ]

    def __repr__(self) -> str:
        return "\n".join([*self.facts(), text_table(HEADS, self.cells()), *map(str, self.files)])

    def _repr_html_(self) -> str:
        return html_table(HEADS, self.cells())


def render(report: Report) -> str:
    """The page; the same report gives the same bytes.

    Raises:
        ToolError: jinja2 is missing.
        CheckError: a picture that is none.
    """
    template = environment().get_template("page.html.jinja")
    content, notes = context(report), notes_of(report)
    bare: str = template.render(**content, notes=notes, pictures=[])
    room = LARGEST - len(bare.encode())
    pictures = shown_pictures(report.extras.pictures, room)
    left_out = [
        path.name for path in report.extras.pictures if path.name.removesuffix(".png") not in {p.file for p in pictures}
    ]
    notes += [f"{name} is left out: the page would have more than 2 MB" for name in left_out]
    page: str = template.render(**content, notes=notes, pictures=pictures)
    return page


def environment() -> Environment:
    """Jinja's environment: everything is escaped, a missing value is an error."""
    jinja2 = require("jinja2", "report")
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    made: Environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters.update(FILTERS)
    return made


def shown_pictures(paths: Sequence[Path], room: int) -> list[Picture]:
    """As many as have room, each with its share of it."""
    share = (room - 2000 * len(paths)) // max(1, len(paths))
    return [picture for path in paths if (picture := embed(path, min(share, 500_000))) is not None]


def notes_of(report: Report) -> list[str]:
    """What the page has no room for, and what was left out before."""
    rows = len(report.documents.lines())
    more = [f"{rows - MOST_LINES} of {rows} rows have no room on this page; --format csv holds all"]
    return [*report.extras.notes, *(more if rows > MOST_LINES else [])]


def context(report: Report) -> dict[str, object]:
    """What the template shows."""
    documents, gates = report.documents, report.gates
    lines, named = documents.lines(), summary.names(documents)
    shown, qualities = lines[:MOST_LINES], summary.shown_qualities(documents)[:MOST_QUALITIES]
    return {
        "names": named,
        "headline": summary.headline(documents, gates),
        "measured": measured(documents),
        "tools": sorted({each.tool for each in documents.measurements}),
        "timed": timed(documents),
        "best": summary.best_of_devices(documents, gates or ()),
        "emulated": [line for line in one_per_measurement(lines) if line.emulated],
        "groups": group_by_device(shown),
        "qualities": [(name, metrics()[name].title, metrics()[name].digits) for name in qualities],
        "gates": None if gates is None else sorted(gates, key=lambda gate: gate.passed),
        "failures": documents.failures,
        "warnings": warnings_of(documents),
        "tradeoffs": list(tradeoffs(lines, named)),
        "shapes": list(distributions(shown)),
        "sustained": list(sustained_runs(documents.measurements[:MOST_DETAILS], named)),
        "checks": one_per_measurement(shown),
        "layers": list(layer_charts(report.extras.profiles, named)),
        "operators": operators_of(documents),
        "operator_times": list(operator_times(documents.measurements[:MOST_DETAILS], named)),
        "devices": summary.devices(documents),
        "states": states_of(documents.measurements[:MOST_DETAILS], named),
        "style": Markup((Path(__file__).parent / "page.css").read_text() + target_style()),
        "target_names": {name: card.title for name, card in TARGETS.cards().items()},
        "signs": summary.SIGNS,
    }


def target_style() -> str:
    """The targets' colours, on a light page, a dark one and on paper."""
    cards = TARGETS.cards()
    light, dark = (" ".join(f"--{name}: {card.page_colours[i]};" for name, card in cards.items()) for i in (0, 1))
    classes = " ".join(f".c-{name} {{ color: var(--{name}); }}" for name in cards)
    rules = [f":root {{ {light} }}", f"@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"]
    return "\n".join([*rules, f"@media print {{ :root {{ {light} }} }}", classes, ""])


def measured(documents: Documents) -> str:
    """The days of the measurements: ``2026-11-27 to 2026-11-28``."""
    days = sorted({f"{each.measured:%Y-%m-%d}" for each in documents.measurements})
    return " to ".join(dict.fromkeys((days[0], days[-1]))) if days else "never"


def timed(documents: Documents) -> list[str]:
    """What the samples are times of; with its devices where not all say the same."""
    found: dict[str, dict[str, None]] = {}
    for each in documents.measurements:
        found.setdefault(each.timed, {})[each.device.name] = None
    return [text + (f" ({', '.join(devices)})" if len(found) > 1 else "") for text, devices in found.items()]


def one_per_measurement(lines: Iterable[Line]) -> list[Line]:
    """The last line of each measurement."""
    return list({id(line.measurement): line for line in lines}.values())


def group_by_device(lines: Iterable[Line]) -> dict[str, list[Line]]:
    """Device -> its lines, in the order given."""
    groups: dict[str, list[Line]] = {}
    for line in lines:
        groups.setdefault(line.device, []).append(line)
    return groups


def warnings_of(documents: Documents) -> dict[str, list[str]]:
    """Name -> what was found, a line for each device."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for each in documents.measurements:
        for caution in each.warnings:
            found[caution.name][each.device.name].append(caution.detail)
    return {
        name: [f"{device}: {texts[0]}" + more(len(texts) - 1) for device, texts in devices.items()]
        for name, devices in sorted(found.items())
    }


def more(count: int) -> str:
    """The end of a note that stands for several documents."""
    return f"; and in {summary.plural(count, 'document')} more" if count else ""


def tradeoffs(lines: Sequence[Line], named: dict[str, str]) -> Iterator[tuple[str, list[Markup]]]:
    """Charts of cost against quality: file size for all artifacts, then latency and memory for each real device."""
    qualities = [name for name in (*headlines(), SQNR.name) if any(line.quality(name) is not None for line in lines)]
    first = list({line.file: line for line in lines}.values())
    yield from titled("File size", [chart(first, named, "size_mb", each) for each in qualities])
    for device, group in group_by_device(line for line in lines if not line.emulated).items():
        fastest = list({line.file: line for line in reversed(group)}.values())
        made = [chart(fastest, named, "p50_ms", each) for each in qualities]
        yield from titled(device, [*made, *(chart(fastest, named, "peak_mb", each) for each in qualities[:1])])


def titled(title: str, found: Iterable[Markup | None]) -> Iterator[tuple[str, list[Markup]]]:
    """The drawings that exist, under a title; nothing where there are none."""
    kept = [each for each in found if each is not None]
    if kept:
        yield title, kept


AXES = {"p50_ms": "median latency, ms", "size_mb": "file size, MB", "peak_mb": "peak memory, MB"}


def chart(lines: Sequence[Line], named: dict[str, str], cost: str, quality: str) -> Markup | None:
    """None: fewer than two artifacts have both figures."""
    points = []
    for line in lines:
        x, y = getattr(line, cost), line.quality(quality)
        if x and y is not None and line.passed:
            artifact, metric = line.measurement.artifact, metrics()[quality]
            more = f", {summary.plural(line.row.threads, 'thread')}" if cost != "size_mb" else ""
            detail = f"{line.file}\n{x:.4g} {AXES[cost].split()[-1]}, {metric.title} {y:.{metric.digits}f}{more}"
            points.append(Point(named[line.file], x, min(y, EQUAL_DB), artifact.target, artifact.precision, detail))
    return charts.scatter(points, AXES[cost], metrics()[quality].title) if len(points) > 1 else None


def distributions(lines: Sequence[Line]) -> Iterator[dict[str, object]]:
    """For each device that is real, a bar and the shape of the samples of every line."""
    for device, group in group_by_device(line for line in lines if not line.emulated).items():
        rounds = {id(line): [each.samples_ms for each in line.row.rounds] for line in group}
        low, high = charts.shape_range(rounds.values())
        largest = max(line.row.summary.p99_ms for line in group) or 1.0
        rows = []
        for line in group:
            target, figures = line.measurement.artifact.target, line.row.summary
            bar = charts.bar(figures.p50_ms, figures.p90_ms, figures.p99_ms, largest, target)
            rows.append((line, bar, charts.shape(rounds[id(line)], low, high, target)))
        yield {"device": device, "low": low, "high": high, "largest": largest, "rows": rows}


def sustained_runs(measurements: Sequence[Measurement], named: dict[str, str]) -> Iterator[dict[str, object]]:
    """Each measurement with a sustained run: its curves, and what the sensors said meanwhile."""
    for each in measurements:
        rows = [row for row in each.rows if row.sustained is not None]
        if rows and not each.device.emulated:
            title, target = f"{named[each.artifact.file]} on {each.device.name}", each.artifact.target
            curves = [(row, charts.sustained(row.sustained, target, title)) for row in rows if row.sustained is not None]
            yield {"title": title, "curves": curves, "sensors": list(sensors_of(each, title))}


def sensors_of(measurement: Measurement, title: str) -> Iterator[tuple[str, Markup]]:
    """The hottest sensors, and the frequency, where the machine was looked at more than twice and says them."""
    states = states_in(measurement)
    if len(states) < 3:
        return
    seconds = [state.seconds for state in states]
    sensors = dict.fromkeys(sensor for state in states for sensor in state.temperature_c)
    hottest = sorted(sensors, key=lambda each: -max(state.temperature_c.get(each, -274.0) for state in states))
    degrees = {each: [state.temperature_c.get(each) for state in states] for each in hottest[: charts.SERIES]}
    clock = [sum(state.frequency_mhz) / len(state.frequency_mhz) if state.frequency_mhz else None for state in states]
    if degrees:
        yield "Temperature", charts.heat(seconds, degrees, "°C", title)
    if any(clock):
        yield "Frequency", charts.heat(seconds, {"mean of the cores": clock}, "MHz", title)


def states_in(measurement: Measurement) -> list[State]:
    """A measurement's states in the order of time."""
    return sorted((state for row in measurement.rows for state in row.states), key=lambda state: state.seconds)


def states_of(measurements: Sequence[Measurement], named: dict[str, str]) -> list[tuple[str, list[tuple[str, State]]]]:
    """Before, in the middle, and after each measurement."""
    found = []
    for each in measurements:
        states = states_in(each)
        places = {"before": 0, "during": len(states) // 2, "after": len(states) - 1}
        if len(states) >= 2:
            shown = [(when, states[i]) for when, i in places.items() if when != "during" or len(states) > 2]
            found.append((f"{named[each.artifact.file]} on {each.device.name}", shown))
    return found


def operators_of(documents: Documents) -> list[Measurement]:
    """One measurement for each artifact and runtime that says what the graph is made of."""
    found = {
        (each.artifact.file, each.runtime.name): each for each in reversed(documents.measurements) if each.operators.counts
    }
    return list(reversed(found.values()))[:MOST_DETAILS]


def operator_times(measurements: Sequence[Measurement], named: dict[str, str]) -> Iterator[dict[str, object]]:
    """Kinds of operators by the time they take, and the slowest operators one by one."""
    for each in measurements:
        times = each.operators.times
        if times and not each.device.emulated:
            yield {
                "name": f"{named[each.artifact.file]} on {each.device.name}",
                "target": each.artifact.target,
                "total": sum(one.ms for one in times),
                "kinds": by_kind(times),
                "slowest": sorted(times, key=lambda one: -one.ms)[:TOP_OPERATORS],
            }


def by_kind(times: Sequence[TimedOperator]) -> list[tuple[str, int, float, float]]:
    """Kind, number of operators, milliseconds and share of all; the slowest kinds, then the rest together."""
    total, kinds = sum(one.ms for one in times) or 1.0, defaultdict[str, list[float]](list)
    for one in times:
        kinds[one.type].append(one.ms)
    ordered = sorted(kinds.items(), key=lambda item: -sum(item[1]))
    rest = ordered[TOP_OPERATORS:]
    if rest:
        ordered = [*ordered[:TOP_OPERATORS], (f"{len(rest)} other kinds", [ms for _, every in rest for ms in every])]
    return [(kind, len(ms), sum(ms), sum(ms) / total) for kind, ms in ordered]


def layer_charts(profiles: Sequence[LayerProfile], named: dict[str, str]) -> Iterator[dict[str, object]]:
    """A chart for every precision, with the artifacts whose layers can be laid side by side."""
    groups: dict[str, list[LayerProfile]] = {}
    for each in profiles:
        groups.setdefault(each.precision, []).append(each)
    for precision, group in groups.items():
        rows = side_by_side([as_profile(each) for each in group])
        places = [row.operators[0] for row in rows]
        curves = [reference] if (reference := reference_curve(rows)) else []
        for column, profile in enumerate(group):
            values = [layer.float_db if (layer := row.layers[column]) else None for row in rows]
            wrong = [i for i, row in enumerate(rows) if (layer := row.layers[column]) and layer.wrong]
            label = named.get(profile.artifact, profile.artifact)
            curves.append(Curve(label, f"{charts.colour(profile.target)} w{column % 3}", values, wrong[0] if wrong else None))
        legend = [(curve.label, curve.css) for curve in curves]
        yield {"precision": precision, "chart": charts.layers(curves, places), "legend": legend, "profiles": group}


def reference_curve(rows: Sequence[Row]) -> Curve | None:
    """The curve of the int8 reference; None for float artifacts."""
    simulated = [next((layer.reference_float_db for layer in row.layers if layer), None) for row in rows]
    return Curve("int8 reference", "reference", simulated) if any(each is not None for each in simulated) else None


def as_profile(profile: LayerProfile) -> Profile:
    """As ``side_by_side`` takes it; what the chart does not show is left empty."""
    nothing = Difference(0.0, 0.0)
    layers = [
        Layer(tuple(each.operators), (), nothing, nothing, each.float_db, each.reference_float_db, each.wrong)
        for each in profile.layers
    ]
    return Profile(
        profile.artifact, profile.target, profile.precision, RuntimeInfo("", "", ""), tuple(layers), tuple(profile.missing), ()
    )
