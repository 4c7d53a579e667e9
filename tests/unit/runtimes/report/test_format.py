"""Figures as a person reads them."""

from __future__ import annotations

import pytest

from onenet.runtimes.report.format import digits, figure, known, percent, plan, signed_percent, span


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.01234, "0.0123"), (1.234, "1.23"), (9.996, "10.0"), (12.34, "12.3"), (99.96, "100"), (1234.5, "1,234")],
)
def test_a_figure_has_three_digits_or_more(value: float | None, text: str) -> None:
    assert figure(value) == text


def test_what_is_not_known_is_a_dash() -> None:
    assert [digits(None, 2), percent(None), span([]), known("unknown"), known(None)] == ["–"] * 5


def test_shares_and_ranges() -> None:
    assert percent(0.123) == "12.3\N{NO-BREAK SPACE}%"
    assert signed_percent(-0.05) == "−5\N{NO-BREAK SPACE}%"
    assert (span([1.0, 2.0]), span([1.0, 1.001])) == ("1.00–2.00", "1.00")


def test_a_plan_without_what_is_nothing() -> None:
    assert plan({"threads": [1, 4], "runs": 30, "cores": [], "profile": False}) == "threads 1, 4, runs 30"
