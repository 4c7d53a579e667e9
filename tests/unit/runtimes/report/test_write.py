"""``onenet.report`` and ``onenet.compare`` from Python: typed results that can be read."""

from __future__ import annotations

from pathlib import Path

import pytest

import onenet
from onenet.errors import RequestError
from tests.unit.measured import measurement, write


def test_a_report_says_what_it_wrote_and_shows_a_table(tmp_path: Path) -> None:
    made = onenet.report(write(tmp_path / "in", measurement(10)), tmp_path / "out", formats=["md", "html"])
    assert [path.name for path in made.files] == ["report.md", "report.html"]
    assert made.passed
    assert "golden checks passed: 1 of 1" in repr(made)
    assert "TFLite int8" in made._repr_html_()


def test_a_budget_that_is_exceeded(tmp_path: Path) -> None:
    limits = tmp_path / "budget.toml"
    limits.write_text("[[budget]]\np50_ms = 5\n")
    assert not onenet.report(write(tmp_path / "in", measurement(10)), tmp_path / "out", budget=limits).passed


@pytest.mark.parametrize("formats", [[], ["pdf"], ["html", "pdf"]])
def test_unknown_formats(tmp_path: Path, formats: list[str]) -> None:
    with pytest.raises(RequestError, match="is not known; supported: html, md, csv, json"):
        onenet.report(tmp_path, tmp_path / "out", formats=formats)


def test_a_comparison_can_be_read(tmp_path: Path) -> None:
    base, new = write(tmp_path / "base", measurement(10)), write(tmp_path / "new", measurement(12, seed=7))
    comparison = onenet.compare(base, new, fail_above=0.1)
    assert not comparison.passed
    assert "slower" in repr(comparison) and repr(comparison).endswith("something got worse")
    assert "<td>slower</td>" in comparison._repr_html_()
    assert comparison.as_dict()["fail_above"] == 0.1
