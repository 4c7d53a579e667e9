"""Timing in turn: who is asked when, and what a figure is, by a clock that is turned by hand."""

from __future__ import annotations

import pytest

from bench import timing


def test_each_is_asked_in_every_round(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(timing, "timed", lambda run: run())
    found = timing.in_turn({name: lambda name=name: asked.append(name) for name in "ab"}, rounds=3)
    assert asked == list("ababab")
    assert {name: len(values) for name, values in found.items()} == {"a": 3, "b": 3}


def test_a_figure_is_the_processors_time_of_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    calls: list[float] = []

    def run() -> None:
        calls.append(now[0])
        now[0] += 10.0 if len(calls) == 1 else 0.02  # the first call, which is slow, is not counted

    monkeypatch.setattr(timing.time, "process_time", lambda: now[0])
    assert timing.timed(run) == pytest.approx(0.02)
    assert len(calls) == 1 + 3  # as many as fill SECONDS
