"""The page: complete, inert, usable by everyone, small."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from onenet.runtimes.measure import document
from onenet.runtimes.report import tables
from onenet.runtimes.report.extras import Extras
from onenet.runtimes.report.page import LARGEST, Report, render
from tests.unit.measured import content, documents, measurement
from tests.unit.runtimes.report.pages import Page, hostile, rich

pytest.importorskip("jinja2")


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
