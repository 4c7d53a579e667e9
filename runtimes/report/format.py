"""Figures as a person reads them; used by the page and the tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from onenet.base.text import one_line

UNKNOWN = "–"
FORMS = ((99.95, ",.0f"), (9.995, ".1f"), (1.0, ".2f"))
"""Least size, and how such figures are written; smaller ones with three digits."""


def figure(value: float | None) -> str:
    """Three digits or more: 0.0123, 1.23, 12.3, 123, 1,234."""
    if value is None:
        return UNKNOWN
    size = abs(value)
    for least, form in FORMS:
        if size >= least:
            return format(value, form)
    return format(value, ".3g")


def digits(value: float | None, count: int) -> str:
    """A number with ``count`` digits after the point."""
    return UNKNOWN if value is None else f"{value:.{count}f}"


def megabytes(count: int | None) -> str:
    """Bytes as MB."""
    return UNKNOWN if count is None else figure(count / 1e6)


def percent(share: float | None, places: int = 1) -> str:
    """A share between 0 and 1 in percent."""
    return UNKNOWN if share is None else f"{100 * share:.{places}f}\N{NO-BREAK SPACE}%"


def signed_percent(share: float, places: int = 0) -> str:
    """A share in percent with its sign."""
    return f"{100 * share:+.{places}f}\N{NO-BREAK SPACE}%".replace("-", "−")


def span(values: list[float]) -> str:
    """The range of a list of numbers."""
    if not values:
        return UNKNOWN
    low, high = min(values), max(values)
    return figure(low) if figure(low) == figure(high) else f"{figure(low)}–{figure(high)}"


def known(value: object) -> str:
    """A text, or a dash where the device did not say."""
    return UNKNOWN if value in (None, "", "unknown") else str(value)


def plan(content: Mapping[str, object]) -> str:
    """A document's plan in a line; what keeps its default of nothing is left out."""
    given = {key: value for key, value in content.items() if value not in (0, None, False, [], ())}
    return ", ".join(f"{one_line(str(key))} {one_line(str(value)).strip('[]()')}" for key, value in list(given.items())[:20])


FILTERS: dict[str, Callable[..., str]] = {
    "figure": figure,
    "digits": digits,
    "mb": megabytes,
    "percent": percent,
    "signed": signed_percent,
    "span": span,
    "known": known,
    "plan": plan,
}
