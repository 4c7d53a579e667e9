"""Comparison of measurements: what is called slower, how often wrongly, what belongs together, and what ends in exit code 1."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from onenet.cli import compare as command_compare
from onenet.cli.app import app
from onenet.errors import CheckError, RequestError, ToolError
from onenet.runtimes.measure.document import Measurement
from onenet.runtimes.measure.documents import Documents, failure_document
from onenet.runtimes.report.compare import Comparison, RowComparison, compare_documents, compare_times, decide
from tests.unit.measured import content, documents, emulated, failing, measurement, write

pytest.importorskip("scipy")

ALPHA, LIMIT = 0.01, 0.05


def only(base: Measurement, new: Measurement, **options: Any) -> RowComparison:
    (row,) = compare_documents(documents(base), documents(new), **options).rows
    return row


# --- statistics: a simulation ----------------------------------------------


def simulated(random: np.random.Generator, change: float, between: float, rounds: int = 3, runs: int = 30) -> tuple[str, bool]:
    """The verdict on two measurements of 10 ms, and whether it is a regression beyond 5 %. Runs have a tail, as real ones."""

    def measure(median: float) -> list[list[float]]:
        medians = median * np.exp(random.normal(0, between, rounds))
        return [list(each * np.exp(0.02 * random.standard_exponential(runs))) for each in medians]

    timing = compare_times(measure(10.0), measure(10.0 * (1 + change)), ALPHA)
    verdict = decide(timing, ALPHA, LIMIT)
    return verdict, verdict == "slower" and timing.ratio > 1 + LIMIT


def share(change: float, between: float, times: int) -> tuple[float, float]:
    """How often that is called slower, and how often it is a regression."""
    random = np.random.default_rng(5)
    found = [simulated(random, change, between) for _ in range(times)]
    return sum(verdict == "slower" for verdict, _ in found) / times, sum(failed for _, failed in found) / times


@pytest.mark.parametrize(("between", "slower", "fails"), [(0.005, 0.001, 0.001), (0.01, 0.001, 0.001), (0.02, 0.01, 0.005)])
def test_two_runs_of_the_same_artifact_are_seldom_called_different(between: float, slower: float, fails: float) -> None:
    found = share(0.0, between, 1000)
    assert found[0] <= slower
    assert found[1] <= fails


@pytest.mark.parametrize("between", [0.005, 0.01, 0.02])
def test_ten_percent_slower_is_found_in_three_rounds(between: float) -> None:
    found = share(0.1, between, 500)
    assert min(found) > 0.95


def test_a_test_that_takes_all_samples_for_independent_would_cry_wolf() -> None:
    """Why U alone is no verdict: with 1 % between processes it is significant in most comparisons of equals."""
    random = np.random.default_rng(5)
    timings = []
    for _ in range(300):
        medians = 10 * np.exp(random.normal(0, 0.01, (2, 3)))
        base, new = ([list(m * np.exp(0.01 * random.standard_exponential(30))) for m in side] for side in medians)
        timings.append(compare_times(base, new, ALPHA))
    assert np.mean([each.p < ALPHA for each in timings]) > 0.3
    assert np.mean([each.p < ALPHA and each.low > 1.01 for each in timings]) == 0


def test_rounds_that_differ_much_decide_nothing() -> None:
    base, new = ([[median] * 30 for median in medians] for medians in ((9.0, 10.0, 12.0), (10.0, 11.0, 13.0)))
    timing = compare_times(base, new, ALPHA)
    assert timing.p < ALPHA
    assert timing.ratio > 1 + LIMIT
    assert decide(timing, ALPHA, LIMIT) == "undecided"


def test_more_rounds_find_a_smaller_difference() -> None:
    few, many = ({"between": 0.01, "count": count} for count in (3, 15))
    assert only(measurement(10, spread=few), measurement(10.3, spread=few, seed=20)).verdict != "slower"
    row = only(measurement(10, spread=many), measurement(10.3, spread=many, seed=20))
    assert row.verdict == "slower"
    assert row.regressions == ()  # 3 % is within the 5 % that are tolerated


def test_the_interval_holds_the_ratio_and_swaps_with_its_sides() -> None:
    forth, back = only(measurement(10), measurement(12, seed=3)), only(measurement(12, seed=3), measurement(10))
    assert (forth.verdict, back.verdict) == ("slower", "faster")
    assert forth.timing.low < forth.timing.ratio < forth.timing.high
    assert forth.timing.ratio == pytest.approx(1.2, rel=0.03)
    assert back.timing.low == pytest.approx(1 / forth.timing.high)
    assert back.regressions == ()


def test_a_runner_that_computes_nothing() -> None:
    nothing = [[0.0] * 10] * 3
    assert compare_times(nothing, nothing, ALPHA).ratio == 1


@pytest.mark.parametrize("spread", [{"count": 2}, {"runs": 9}])
def test_too_little_is_refused(spread: dict[str, int]) -> None:
    with pytest.raises(RequestError, match="a comparison needs at least 3 rounds of 10: measure again"):
        only(measurement(10), measurement(10, spread=spread))


# --- regressions that are no times ------------------------------------------


def test_a_golden_check_that_newly_fails_is_a_regression() -> None:
    good, bad = measurement(10), failing(measurement(10))
    assert only(good, bad).regressions == ("its golden check fails now (9.00 steps off on average (<= 1))",)
    assert only(bad, bad).regressions == ()
    assert only(bad, good).regressions == ()


def test_a_larger_file_is_a_regression_beyond_the_limit() -> None:
    def sized(count: int) -> Measurement:
        made = content(10)
        return measurement(10, artifact={**made["artifact"], "bytes": count})

    assert only(sized(1_000_000), sized(1_049_000)).regressions == ()
    assert only(sized(1_000_000), sized(1_060_000)).regressions == ("+6.0% file size",)
    assert only(sized(1_000_000), sized(1_060_000), fail_above=0.1).regressions == ()


def test_memory_counts_where_every_process_needed_more() -> None:
    def using(peaks: list[int]) -> Measurement:
        made = content(10)
        for each, peak in zip(made["rows"][0]["rounds"], peaks, strict=True):
            each["peak_bytes"] = peak
        made["rows"][0]["peak_bytes"] = max(peaks)
        return measurement(10, rows=made["rows"])

    before = using([60_000_000, 61_000_000, 60_000_000])
    assert only(before, using([80_000_000, 81_000_000, 80_000_000])).regressions == ("+32.8% peak memory",)
    assert only(before, using([60_000_000, 81_000_000, 60_000_000])).regressions == ()  # one process that met another's pages


def test_times_of_an_emulator_are_not_judged() -> None:
    row = only(emulated(measurement(1000)), emulated(measurement(3000)))
    assert row.verdict == "emulated"
    assert row.regressions == ()
    assert {change.name for change in row.changes}.isdisjoint({"peak_mb", "load_ms", "first_ms"})


@pytest.mark.parametrize(("name", "verdict"), [("busy", "undecided"), ("throttled", "undecided"), ("no-profile", "slower")])
def test_times_of_an_unfit_machine_decide_nothing(name: str, verdict: str) -> None:
    """Whatever kept it busy may have gone before the other side was measured."""
    warned = measurement(20, warnings=[{"name": name, "detail": "100 % of the processor time was in use"}])
    row = only(measurement(10), warned)
    assert row.verdict == verdict
    assert bool(row.regressions) == (verdict == "slower")
    expected = (f"NEW was measured on an unfit machine ({name}): its times decide nothing",)
    assert row.notes == (expected if verdict == "undecided" else ())
    assert only(warned, measurement(10)).verdict == {"slower": "faster"}.get(verdict, verdict)


def test_quality_is_shown_side_by_side() -> None:
    made = content(10)
    worse = {**made["artifact"], "quality": {**made["artifact"]["quality"], "miou": 0.8, "map50": 0.9}}
    found = {each.name: (each.base, each.new) for each in only(measurement(10), measurement(10, artifact=worse)).changes}
    assert found["miou"] == (0.8879, 0.8)
    assert found["map50"] == (None, 0.9)


# --- what belongs together ---------------------------------------------------


def compared(base: list[Measurement], new: list[Measurement]) -> Comparison:
    return compare_documents(documents(*base), documents(*new))


def test_rows_are_matched_by_what_they_are_and_the_rest_is_named() -> None:
    base = [measurement(10, threads=(1, 2)), measurement(10, target="onnx"), measurement(10, device="ssh:pi")]
    new = [measurement(10, threads=(2, 4), file="another_name.tflite"), measurement(10, target="onnx", precision="fp16")]
    result = compared(base, new)
    assert [(row.base.file, row.new.file, row.new.row.threads) for row in result.rows] == [
        ("onenet-ed4_int8.tflite", "another_name.tflite", 2)
    ]
    assert len(result.only_base) == 3
    assert len(result.only_new) == 2


def test_files_that_share_all_that_is_matched_are_told_apart_by_name() -> None:
    tiles = [measurement(10, file=f"a_tile{n}.tflite") for n in (32, 64)]
    result = compared(tiles, [*reversed(tiles), measurement(10, file="a_tile128.tflite")])
    assert [row.base.file == row.new.file for row in result.rows] == [True, True]
    assert [line.file for line in result.only_new] == ["a_tile128.tflite"]


def test_of_one_file_measured_twice_the_later_counts() -> None:
    early, late = measurement(20, measured="2026-01-01T00:00:00Z"), measurement(10, measured="2026-01-02T00:00:00Z")
    result = compared([late, early], [measurement(10, seed=4)])
    assert [row.verdict for row in result.rows] == ["same"]


@pytest.mark.parametrize("new", [[], [measurement(10, model="onenet-e4")]])
def test_nothing_in_common_is_refused(new: list[Measurement]) -> None:
    with pytest.raises(RequestError, match="nothing to compare"):
        compared([measurement(10)], new)


@pytest.mark.parametrize("known", [True, False])
def test_what_fails_to_be_measured_is_a_regression(known: bool) -> None:
    base = documents(measurement(10), measurement(10, device="ssh:pi", threads=(1, 2)))
    lost = failure_document(measurement().artifact if known else "onenet-ed4_int8.tflite", "ssh:pi", ToolError("went away"))
    other = failure_document("another.tflite", "ssh:pi", ToolError("went away"))
    assert compare_documents(base, Documents((measurement(10),), (other,))).passed
    result = compare_documents(base, Documents((measurement(10),), (lost, other)))
    assert not result.passed
    assert result.lost == tuple(
        f"onenet-ed4_int8.tflite on ssh:pi, ai-edge-litert, {text}: ToolError: went away" for text in ("2 threads", "1 thread")
    )
    assert compare_documents(base, Documents((), (lost,))).lost == result.lost


def test_another_context_is_said() -> None:
    def on(**device: Any) -> Measurement:
        return replace(base := measurement(10, device="ssh:pi"), device=replace(base.device, **device))

    notes = only(on(), on(cpu="Cortex-A76", virtual=True)).notes
    assert notes == ("another processor: Cortex-A72 before, Cortex-A76 now",)
    runtime = measurement(10, runtime={"name": "ai-edge-litert", "version": "3.0", "kernels": "XNNPACK"})
    assert "another runtime: ai-edge-litert 2.3.0 before, ai-edge-litert 3.0 now" in only(measurement(10), runtime).notes


# --- the command ---------------------------------------------------------------


def command(tmp_path: Path, base: Measurement, new: Measurement, limit: str = "5%", as_json: bool = False) -> bool:
    """Whether ``onenet compare`` ends with exit code 0."""
    try:
        command_compare.command(write(tmp_path / "base", base), write(tmp_path / "new", new), limit, ALPHA, as_json)
    except typer.Exit:
        return False
    return True


def test_the_command_says_what_got_worse_within_80_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    slower = measurement(11.5, threads=(1, 4), device="ssh:pi@raspberrypi.local:2222", seed=7)
    assert not command(tmp_path, measurement(10, threads=(1, 4), device="ssh:pi@raspberrypi.local:2222"), slower)
    printed = capsys.readouterr().out
    assert max(map(len, printed.partition("✗")[0].splitlines())) <= 80
    assert "TFLite int8 ×4" in printed
    assert "✗ onenet-ed4_int8.tflite on ssh:pi@raspberrypi.local:2222, ai-edge-litert, 1 thread: +13.0% time" in printed
    assert command(tmp_path, slower, slower)
    assert "✓ nothing got worse by more than 5 %" in capsys.readouterr().out


def test_exit_codes_and_one_line_errors(tmp_path: Path) -> None:
    base, slower = write(tmp_path / "base", measurement(10)), write(tmp_path / "new", measurement(11.5, seed=7))
    codes = {"5%": 1, "20%": 0, "x": 2}
    for limit, code in codes.items():
        result = CliRunner().invoke(app, ["compare", str(base), str(slower), "--fail-above", limit])
        assert result.exit_code == code
        assert result.stderr.count("\n") == (code == 2)


def test_a_limit_of_20_percent_tolerates_15(tmp_path: Path) -> None:
    assert command(tmp_path, measurement(10), measurement(11.5, seed=7), "20")


def test_json_holds_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not command(tmp_path, measurement(10), measurement(11.5, seed=7), as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert not found["passed"]
    assert found["fail_above"] == LIMIT
    assert found["rows"][0]["verdict"] == "slower"
    assert found["rows"][0]["timing"]["low"] > 1.05


@pytest.mark.parametrize("limit", ["", "five", "-5%", "5%%", "nan", "1e3", "5 % "])
def test_limits(tmp_path: Path, limit: str) -> None:
    if limit == "5 % ":
        assert command_compare.parse_percent(limit) == 0.05
        return
    with pytest.raises(RequestError, match="is not a percentage; write 5% or"):
        command(tmp_path, measurement(10), measurement(10), limit)


def test_damaged_and_missing_documents(tmp_path: Path) -> None:
    good = write(tmp_path / "good", measurement(10))
    (tmp_path / "bad.measurement.json").write_text("{")
    with pytest.raises(CheckError, match="is not a measurement: not JSON"):
        command_compare.command(good, tmp_path / "bad.measurement.json", "5%", ALPHA, False)
    with pytest.raises(RequestError, match="does not exist; give"):
        command_compare.command(good, tmp_path / "none", "5%", ALPHA, False)
    with pytest.raises(RequestError, match=r"alpha must lie between 0 and 0\.5; found 0\.5"):
        command_compare.command(good, good, "5%", 0.5, False)
