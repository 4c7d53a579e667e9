"""What is run, how often, and the figures that follow from samples."""

from __future__ import annotations

import numpy as np
import pytest

from onenet.errors import RequestError
from onenet.runtimes.agent import latency
from onenet.runtimes.agent.plan import Plan


class Clock:
    """Time that passes only by running, so that counts are exact."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, each: float) -> None:
        self.now, self.each, self.runs = 0, round(each * 1e9), 0
        monkeypatch.setattr(latency.time, "perf_counter", lambda: self.now / 1e9)
        monkeypatch.setattr(latency.time, "perf_counter_ns", lambda: self.now)

    def run(self) -> None:
        self.now += self.each
        self.runs += 1


@pytest.mark.parametrize(("each", "runs"), [(0.01, 50), (1.0, 3), (1e-6, latency.MOST_SAMPLES)])
def test_a_warm_up_ends_when_runs_and_seconds_are_reached(each: float, runs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, each)
    assert latency.warm_up(clock.run, Plan(warmup_runs=3, warmup_seconds=0.5)) == runs == clock.runs


@pytest.mark.parametrize(("each", "count"), [(0.01, 100), (1.0, 30), (1e-6, latency.MOST_SAMPLES)])
def test_samples_are_enough_and_not_too_many(each: float, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, each)
    samples = latency.sample(clock.run, Plan(runs=30, seconds=1.0))
    assert len(samples) == count
    assert samples == pytest.approx([1000 * each] * count)


def test_a_failing_run_leaves_the_collector_on() -> None:
    import gc

    with pytest.raises(ZeroDivisionError):
        latency.sample(lambda: 1 // 0, Plan())
    assert gc.isenabled()


def test_a_summary_is_of_all_rounds() -> None:
    rounds = [[1.0, 2.0, 3.0], [4.0, 5.0]]
    found = latency.summary(rounds)
    assert {name: getattr(found, name) for name in ("n", "mean_ms", "p50_ms", "min_ms", "max_ms")} == {
        "n": 5,
        "mean_ms": 3.0,
        "p50_ms": 3.0,
        "min_ms": 1.0,
        "max_ms": 5.0,
    }
    assert found.spread == pytest.approx(2 / 3, abs=1e-4)
    assert found.p99_ms == pytest.approx(np.percentile([1, 2, 3, 4, 5], 99))
    assert latency.summary(rounds) == found  # the bootstrap is seeded


def test_rounds_that_differ_widen_the_interval() -> None:
    random = np.random.default_rng(0)
    alike = [list(10 + random.normal(0, 0.01, 200)) for _ in range(3)]
    apart = [[each + shift for each in samples] for samples, shift in zip(alike, (-1, 0, 1), strict=True)]
    narrow, wide = (latency.summary(each).ci95_ms for each in (alike, apart))
    assert narrow[1] - narrow[0] < 0.02
    assert wide[1] - wide[0] > 1.5


def test_nothing_has_no_summary() -> None:
    with pytest.raises(ValueError, match="concatenate"):
        latency.summary([])


def test_sustained_minutes_and_what_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, 0.5)

    def run() -> None:
        clock.run()
        clock.each = round(clock.each * 1.001)

    found = latency.sustain(run, 3.0)
    assert [row.minute for row in found.minutes] == [1, 2, 3]
    assert found.drop_percent > 10
    assert latency.drop_percent([]) == 0.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"runs": 0},
        {"runs": latency.MOST_SAMPLES + 1},
        {"rounds": 0},
        {"seconds": -1.0},
        {"timeout": 0.0},
        {"threads": (0,)},
        {"cores": (-1,)},
        {"sustained_minutes": -1.0},
    ],
)
def test_a_plan_that_measures_nothing_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(RequestError, match="makes no measurement"):
        Plan(**wrong)  # type: ignore[arg-type]


def test_a_plan_survives_json_and_has_time_for_what_it_asks() -> None:
    plan = Plan(threads=(1, 4), cores=(0,), sustained_minutes=2.0, timeout=100.0)
    as_json = {k: list(v) if isinstance(v, tuple) else v for k, v in plan.as_dict().items()}
    assert Plan.from_dict(as_json) == plan
    assert plan.deadline() == 100 + 2 * 2 * 60
