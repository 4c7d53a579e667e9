"""The report: what is read, what is recommended, and that nothing a document holds becomes markup."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from onenet.cli import report as report_command
from onenet.cli.app import app
from onenet.errors import CheckError, RequestError, ToolError
from onenet.runtimes.devices.answers import read_as
from onenet.runtimes.measure import document
from onenet.runtimes.measure.documents import FAILURE_SUFFIX, Failure, failure_document, load
from onenet.runtimes.report import charts, extras, svg, tables
from onenet.runtimes.report.charts import Point
from onenet.runtimes.report.extras import Extras
from onenet.runtimes.report.page import LARGEST, Report, render
from onenet.runtimes.report.summary import best_of_devices, names
from tests.unit.measured import content, documents, emulated, failing, measurement, write
from tests.unit.runtimes.report.pages import beside, hostile, rich

pytest.importorskip("jinja2")


class Page(HTMLParser):
    """Elements, their attributes, and the text between them; entities decoded as a browser does."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in ("meta", "link", "img", "br", "rect", "path", "circle"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page(*measurements: document.Measurement, **more: Any) -> Page:
    found = Page(render(Report(documents(*measurements), **more)))
    assert found.open == []
    return found


def campaign() -> list[document.Measurement]:
    speeds = {("tflite", "fp32"): 30.0, ("tflite", "int8"): 12.0, ("onnx", "fp32"): 33.0, ("onnx", "int8"): 14.0}
    return [
        measurement(ms * slow, target=target, precision=precision, device=device, threads=(1, 4), seed=i)
        for device, slow in {"local": 1.0, "ssh:pi": 4.0}.items()
        for i, ((target, precision), ms) in enumerate(speeds.items())
    ]


# --- documents -----------------------------------------------------------------


def test_files_and_folders_are_read_once(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b", measurement(10))
    write(tmp_path / "a", measurement(20))
    (tmp_path / "a" / "other.json").write_text("not ours")
    failure = failure_document("x.tflite", "ssh:pi", ToolError("gone\nwith\x1b[31m the wind"))
    (tmp_path / "a" / f"x{FAILURE_SUFFIX}").write_text(failure.to_json())
    found = load([tmp_path, tmp_path / "a" / "b", tmp_path / "a" / "0.measurement.json"])
    assert sorted(round(line.p50_ms, -1) for line in found.lines()) == [10, 20]
    assert [(each.file, each.error, each.text) for each in found.failures] == [
        ("x.tflite", "ToolError", "gone with\\x1b[31m the wind")
    ]


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.measurement.json", b"{", "is not a measurement: not JSON"),
        ("a.measurement.json", b"[]", "a JSON list, not an object"),
        ("a.measurement.json", b'{"schema": 2}', "its schema is 2"),
        ("a.measurement.json", b'{"schema": 1}', "is not a measurement: tool: Field required"),
        ("a.failure.json", b"\xff", "is not a failure: not JSON"),
        ("a.failure.json", b"[" * 100_000, "is not a failure: not JSON (nested too deeply"),
        ("a.failure.json", b'{"schema": 1, "artifact": "x", "device": "y", "error": "z"}', "is not a failure: text: Field"),
        ("a.failure.json", b" " * ((1 << 20) + 1), "larger than"),
    ],
)
def test_damaged_documents_are_one_clear_line(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CheckError) as caught:
        load([tmp_path])
    assert says in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_to_report(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"no \*.measurement.json under"):
        load([tmp_path])
    with pytest.raises(RequestError, match="does not exist; give"):
        load([tmp_path / "none"])


def test_a_failure_keeps_what_is_known_of_its_artifact() -> None:
    known = failure_document(measurement().artifact, "adb", RequestError("no"))
    assert known.file == "onenet-ed4_int8.tflite"
    assert read_as(Failure, json.loads(known.to_json())) == known


# --- what is recommended ---------------------------------------------------------


def test_the_best_of_a_device_is_the_fastest_that_is_right() -> None:
    found = campaign()
    best = {each.device.device.name: each for each in best_of_devices(documents(*found))}
    assert set(best) == {"local", "ssh:pi"}
    line = best["local"].line
    assert line is not None
    assert (line.file, line.row.threads) == ("onenet-ed4_int8.tflite", 4)
    assert best["local"].speedup == pytest.approx(2.5, rel=0.05)
    assert best["local"].quality_lost == pytest.approx(0.0004)
    wrong = [failing(each) if each.artifact.precision == "int8" else each for each in found]
    line = best_of_devices(documents(*wrong))[0].line
    assert line is not None
    assert line.file == "onenet-ed4_fp32.tflite"


def test_a_device_where_nothing_is_right_has_no_best() -> None:
    (best,) = best_of_devices(documents(failing(measurement(10))))
    assert best.line is None
    assert "no artifact passes its golden check" in page(failing(measurement(10))).text


def test_emulated_devices_are_shown_but_not_ranked() -> None:
    fast = emulated(measurement(0.001, device="ssh:emu"))
    assert [each.device.device.name for each in best_of_devices(documents(fast, measurement(10)))] == ["local"]
    shown = page(fast, measurement(10))
    assert "TFLite int8 on ssh:emu" in shown.text
    assert "emulated: times and memory mean nothing" in shown.text
    assert "No real device has been measured" in page(fast).text


def test_names_are_short_and_tell_artifacts_apart() -> None:
    assert names(documents(*campaign())) == {
        f"onenet-ed4_{precision}.{target}": f"{name} {precision}"
        for target, name in {"tflite": "TFLite", "onnx": "ONNX"}.items()
        for precision in ("fp32", "int8")
    }
    tiles = names(documents(measurement(file="a_tile32.tflite"), measurement(file="a_tile64.tflite")))
    assert set(tiles.values()) == {"a_tile32.tflite", "a_tile64.tflite"}
    assert "onenet-e4 TFLite int8" in names(documents(measurement(), measurement(model="onenet-e4"))).values()


# --- charts ------------------------------------------------------------------------


def point(x: float, y: float) -> Point:
    return Point(f"{x} {y}", x, y, "tflite", "int8", "")


def test_the_pareto_front() -> None:
    points = [point(1, 1), point(2, 2), point(3, 2), point(3, 1), point(2, 2), point(4, 3)]
    assert [each.front for each in charts.pareto(points)] == [True, True, False, False, True, True]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 10, [0, 2, 4, 6, 8, 10]), (0.8677, 0.8684, [0.8678, 0.868, 0.8682, 0.8684]), (-3, 41, [0, 10, 20, 30, 40])],
)
def test_ticks_are_round_numbers(low: float, high: float, expected: list[float]) -> None:
    assert svg.ticks(low, high, 6 if high == 10 else 5) == pytest.approx(expected)


@pytest.mark.parametrize(("low", "high"), [(1e-9, 1e9), (0.9, 1.1), (-5e5, 3), (7, 7.000001)])
def test_there_are_never_many_ticks(low: float, high: float) -> None:
    assert 1 <= len(svg.ticks(low, high)) <= 6


@pytest.mark.parametrize("values", [[0.0, 0.0], [5.0], [1e-6, 1e9], [3.0, 3.0, 3.0], [-10.0, 140.0]])
def test_axes_take_any_numbers(values: list[float]) -> None:
    scale = svg.axis(values, 0, 100, logarithmic=True)
    assert all(-5 <= scale(value) <= 105 for value in values)
    assert scale.ticks()


def test_charts_do_without_variation() -> None:
    drawn = [charts.scatter([point(1, 1), point(1, 1)], "x", "y"), charts.shape([[1.0] * 10] * 3, -0.02, 0.05, "tflite")]
    drawn += [charts.shape([[0.0]], *charts.shape_range([[[0.0]]]), "onnx"), charts.bar(0, 0, 0, 1, "coreml")]
    assert all("nan" not in each for each in drawn)


# --- the page -------------------------------------------------------------------------


def test_the_page_says_everything() -> None:
    found = Page(render(rich()))
    for text in (
        "+40.0\N{NO-BREAK SPACE}%",
        "cpu-thermal",
        "CONV_2D",
        "docs/measuring.md",
        "under-voltage",
        "the device went away",
    ):
        assert text in found.text
    assert render(rich()) == render(rich())


def test_the_page_asks_for_nothing_and_runs_nothing() -> None:
    found = Page(render(rich()))
    tags = {tag for tag, _ in found.elements}
    assert tags.isdisjoint({"script", "iframe", "object", "embed", "base", "form"})
    for _, attributes in found.elements:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "xlink:href", "action"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    policy = next(each["content"] for tag, each in found.elements if each.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert "url(" not in render(rich())


def test_the_page_can_be_used_without_seeing_it() -> None:
    found = Page(render(rich()))
    assert [each["lang"] for tag, each in found.elements if tag == "html"] == ["en"]
    assert all(each.get("aria-label") and each.get("role") == "img" for tag, each in found.elements if tag == "svg")
    assert all(each.get("scope") for tag, each in found.elements if tag == "th")
    headings = [int(tag[1]) for tag, _ in found.elements if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1
    assert max(b - a for a, b in pairwise(headings)) == 1
    ids = {each["id"] for _, each in found.elements if "id" in each}
    links = {each["href"] for tag, each in found.elements if tag == "a"}
    assert links <= {f"#{each}" for each in ids}


def test_hostile_text_stays_text_on_the_page() -> None:
    text = render(hostile())
    found = Page(text)
    tags = {tag for tag, _ in found.elements}
    assert tags.isdisjoint({"script", "img"})
    assert not any(name.startswith("on") for _, attributes in found.elements for name in attributes)
    assert "111111111" not in text
    assert found.text.count("<script>alert(1)</script>") > 20


def test_hostile_text_stays_text_in_markdown() -> None:
    report = hostile()
    text = tables.markdown(report.documents, report.gates)
    assert "<" not in text
    for line in text.splitlines():
        assert not re.search(r"(?<!\\)[`*\]]|(?<!\\)\[|(?<![\w;\\])@", line)
        if line.startswith("|"):
            cells = len(re.findall(r"(?<!\\)\|", line))
            assert cells in (6, 7, 4, 12, 5, 13)


def test_hostile_text_is_no_formula_in_csv() -> None:
    for text in (tables.rows_csv(hostile().documents), tables.samples_csv(hostile().documents)):
        cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
        assert "'=2+2" in cells
        assert not any(cell.startswith(("=", "@")) for cell in cells)


def test_a_large_campaign_keeps_the_page_below_2_mb(tmp_path: Path) -> None:
    one = content(10, threads=(1, 2, 4), operators={"counts": {f"OPERATOR_{i}": i for i in range(60)}})
    many = []
    for i in range(250):
        artifact = {**one["artifact"], "file": f"network-{i}_int8.tflite", "model": f"network-{i}"}
        many.append(document.validate({**one, "artifact": artifact}, "a test"))
    pictures = []
    for i in range(3):
        noise = np.random.default_rng(i).integers(0, 255, (900, 1376, 3), np.uint8)
        pictures.append(tmp_path / f"network-{i}_int8.tflite.png")
        Image.fromarray(noise).save(pictures[-1])
    text = render(Report(documents(*many), None, Extras((), tuple(pictures))))
    assert len(text.encode()) < 2_000_000 == LARGEST + 10_000
    assert "350 of 750 rows have no room on this page" in text
    shown, left_out = text.count("data:image/webp"), text.count("the page would have more than 2 MB")
    assert shown + left_out == 3


# --- what lies beside artifacts ----------------------------------------------------


def test_profiles_and_pictures_beside_the_artifacts(tmp_path: Path) -> None:
    found = extras.find(beside(tmp_path), [measurement()])
    text = render(Report(documents(measurement()), None, found))
    assert "first bad layer conv2d_3: 9 int8 steps off" in Page(text).text
    assert text.count("data:image/webp") == 1


def test_those_of_another_artifact_are_left_out(tmp_path: Path) -> None:
    (beside(tmp_path) / "onenet-ed4_int8.tflite").write_bytes(b"built later")
    found = extras.find(tmp_path, [measurement()])
    assert (found.profiles, found.pictures) == ((), ())
    assert "onenet-ed4_int8.tflite.png lies beside another onenet-ed4_int8.tflite than the measured one" in found.notes[1]


@pytest.mark.parametrize("name", ["../secret", "/etc/secret", "*", "..", "", "a/../../secret"])
def test_file_names_do_not_lead_out_of_the_folder(tmp_path: Path, name: str) -> None:
    beside(tmp_path, "secret")
    (tmp_path / "artifacts").mkdir()
    found = extras.find(tmp_path / "artifacts", [measurement(file=name or " ")])
    assert found == Extras()


@pytest.mark.parametrize(("suffix", "data"), [(".layers.json", b"{"), (".layers.json", b"{}"), (".png", b"no picture")])
def test_damaged_extras_are_one_clear_line(tmp_path: Path, suffix: str, data: bytes) -> None:
    beside(tmp_path).joinpath("onenet-ed4_int8.tflite" + suffix).write_bytes(data)
    with pytest.raises(CheckError, match=r"is no layer profile: |is not a picture that can be shown: "):
        render(Report(documents(measurement()), None, extras.find(tmp_path, [measurement()])))


# --- the command --------------------------------------------------------------------


def command(folder: Path, **options: Any) -> bool:
    """Whether ``onenet report`` ends with exit code 0."""
    given: dict[str, Any] = {"form": "html,md,csv,json", "budget": None, "artifacts": None, "json": False, **options}
    try:
        report_command.command([folder / "in"], out=folder / "out", **given)
    except typer.Exit:
        return False
    return True


def test_all_formats_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = campaign()
    write(tmp_path / "in", *found)
    assert command(tmp_path)
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "report.csv",
        "report.html",
        "report.json",
        "report.md",
        "report.samples.csv",
    ]
    rows = list(csv.DictReader((out / "report.csv").read_text().splitlines()))
    assert len(rows) == 2 * len(found)
    merged = json.loads((out / "report.json").read_text())
    assert len(merged["measurements"]) == len(found)
    assert load([write(tmp_path / "again", *(document.validate(each, "a test") for each in merged["measurements"]))])
    samples = list(csv.DictReader((out / "report.samples.csv").read_text().splitlines()))
    assert len(samples) == 2 * len(found) * 3 * 40
    place = ("artifact", "device", "threads")
    of_one = [float(each["ms"]) for each in samples if all(each[key] == rows[0][key] for key in place)]
    assert np.median(of_one) == pytest.approx(float(rows[0]["p50_ms"]), abs=1e-6)
    markdown = (out / "report.md").read_text()
    assert markdown.count("\n| TFLite int8 |") == 4
    assert "golden checks passed: 8 of 8" in capsys.readouterr().out


def test_a_budget_decides_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "in", measurement(10))
    limits = tmp_path / "budget.toml"
    limits.write_text("[[budget]]\np50_ms = 20\n")
    assert command(tmp_path, budget=limits)
    limits.write_text("[[budget]]\np50_ms = 5\n")
    assert not command(tmp_path, budget=limits)
    assert "✗ p50_ms 5: onenet-ed4_int8.tflite on local: 10.1" in capsys.readouterr().out
    text = (tmp_path / "out" / "report.html").read_text()
    assert "no artifact keeps the budget" in text
    assert not command(tmp_path, budget=limits, json=True)
    assert [gate["passed"] for gate in json.loads(capsys.readouterr().out)["gates"]] == [True, False]


@pytest.mark.parametrize("formats", ["", "pdf", "html,pdf", ","])
def test_unknown_formats(tmp_path: Path, formats: str) -> None:
    with pytest.raises(RequestError, match="is not known; supported: html, md, csv, json"):
        command(tmp_path, form=formats)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_document_leaves_the_last_report_alone(tmp_path: Path) -> None:
    write(tmp_path / "in", measurement(10))
    command(tmp_path, form="md")
    before = (tmp_path / "out" / "report.md").read_text()
    (tmp_path / "in" / "0.measurement.json").write_text("{")
    with pytest.raises(CheckError):
        command(tmp_path, form="md")
    assert (tmp_path / "out" / "report.md").read_text() == before


def test_exit_codes_and_one_line_errors(tmp_path: Path) -> None:
    folder, limits = write(tmp_path / "in", measurement(10)), tmp_path / "budget.toml"
    limits.write_text("[[budget]]\np50_ms = 5\n")
    for options, code in {(): 0, ("--budget", str(limits)): 1, ("--format", "pdf"): 2, ("--artifacts", "none"): 2}.items():
        result = CliRunner().invoke(app, ["report", str(folder), "--out", str(tmp_path / "out"), *options])
        assert result.exit_code == code
        assert result.stderr.count("\n") == (code == 2)


def test_a_folder_of_failures_alone(tmp_path: Path) -> None:
    failure = failure_document("lost.tflite", "adb", ToolError("the device went away"))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / f"lost{FAILURE_SUFFIX}").write_text(failure.to_json())
    assert command(tmp_path)
    assert "the device went away" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("ms", [0.0, 1e-6, 1e9])
@pytest.mark.parametrize("runs", [1, 40])
def test_extreme_figures_make_a_page(ms: float, runs: int) -> None:
    """The null device reports zeros; a hostile one whatever its document may hold."""
    quality = {"miou": ms, "sqnr_db": -999.0, "images": 0, "dice": None}
    sustained = {"minutes": [{"minute": 1, "n": 1, "p50_ms": ms, "p90_ms": ms, "p99_ms": ms}], "drop_percent": -ms}
    cold = [{"seconds": ms * i, "temperature_c": {"a": -273.15}, "frequency_mhz": [0.0]} for i in range(3)]
    options: dict[str, Any] = {"spread": {"count": 1, "runs": runs}, "row": {"sustained": sustained, "states": cold}}
    made = content(ms, operators={"counts": {"A": 0}, "times": [{"name": "a", "type": "A", "ms": ms}]}, **options)
    made["artifact"] |= {"quality": quality, "bytes": 0}
    found = documents(document.validate(made, "a test"), measurement(1.0, target="onnx"))
    text = render(Report(found))
    assert Page(text).open == []
    assert not re.search(r"\b(nan|inf)\b", re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL))
    assert tables.markdown(found)
    assert tables.rows_csv(found)
    json.loads(tables.merged_json(found))
