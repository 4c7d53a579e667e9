"""Budgets: what is read, what is refused, and what passes a gate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from onenet.errors import RequestError, ToolError
from onenet.runtimes.measure import budget
from onenet.runtimes.measure.budget import Gate
from onenet.runtimes.measure.document import Measurement
from onenet.runtimes.measure.documents import failure_document
from tests.unit.measured import content, emulated, failing, measurement


def read(folder: Path, text: str) -> budget.Budget:
    (folder / "budget.toml").write_text(text)
    return budget.read(folder / "budget.toml")


def check(folder: Path, text: str, *measurements: Measurement, **more: Any) -> list[Gate]:
    return budget.check(read(folder, text), measurements, **more)


def verdicts(gates: list[Gate]) -> dict[str, bool]:
    return {gate.name: gate.passed for gate in gates}


EVERYTHING = """
[[budget]]
device = "ssh:*"
precision = "int8"
p50_ms = 30
p90_ms = 30.5
p99_ms = 31
load_ms = 100
first_ms = 60
size_mb = 1.5
peak_mb = 200
miou = 0.88
dice = 0.9
sqnr_db = 25
label_agreement = 0.99
"""


def test_every_limit_is_a_gate_and_the_golden_check_one_more(tmp_path: Path) -> None:
    gates = check(tmp_path, EVERYTHING, measurement(20, device="ssh:pi"), measurement(20, device="local"))
    assert len(gates) == 12
    assert budget.passed(gates)
    assert {gate.device for gate in gates} == {"ssh:pi"}


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ("p50_ms = 5", "20.3329 > 5"),
        ("p99_ms = 5", "> 5"),
        ("load_ms = 5", "60 > 5"),
        ("size_mb = 0.5", "0.97 > 0.5"),
        ("peak_mb = 50", "60 > 50"),
        ("miou = 0.9", "0.8879 < 0.9"),
        ("sqnr_db = 35", "29.7 < 35"),
    ],
)
def test_a_limit_that_is_not_kept(tmp_path: Path, limit: str, reason: str) -> None:
    gates = check(tmp_path, f"[[budget]]\n{limit}", measurement(20))
    assert verdicts(gates) == {"golden": True, limit.split()[0]: False}
    assert reason in gates[1].reason


def test_a_limit_that_is_just_kept(tmp_path: Path) -> None:
    assert budget.passed(check(tmp_path, "[[budget]]\nsize_mb = 0.97\nmiou = 0.8879", measurement(20)))


@pytest.mark.parametrize(
    ("limit", "says"),
    [
        ("map50 = 0.9", "not measured: the export made no such evaluation; give it --evaluation DIR"),
        ("drop_percent = 10", "not measured: add --sustained MINUTES"),
        ("threads = 8", "not measured with 8 threads"),
        ('device = "adb*"\np50_ms = 1', "not measured: nothing fits device 'adb*'"),
    ],
)
def test_what_was_not_measured_has_not_passed(tmp_path: Path, limit: str, says: str) -> None:
    failed = [gate for gate in check(tmp_path, f"[[budget]]\n{limit}", measurement(20)) if not gate.passed]
    assert [gate.reason for gate in failed] == [says]


def test_memory_that_a_device_does_not_say(tmp_path: Path) -> None:
    rows = [{**row, "peak_bytes": None} for row in content()["rows"]]
    gates = check(tmp_path, "[[budget]]\npeak_mb = 100", measurement(rows=rows))
    assert gates[1].reason == "not measured: the device does not say"


def test_an_emulator_s_times_pass_no_gate_but_its_values_do(tmp_path: Path) -> None:
    gates = check(tmp_path, "[[budget]]\np50_ms = 1e9\npeak_mb = 1e9\nmiou = 0.88\nsize_mb = 1", emulated(measurement(20)))
    assert verdicts(gates) == {"golden": True, "p50_ms": False, "peak_mb": False, "miou": True, "size_mb": True}
    assert "emulated" in gates[1].reason


def test_wrong_results_pass_no_budget(tmp_path: Path) -> None:
    gates = check(tmp_path, "[[budget]]\np50_ms = 1000", failing(measurement(20)))
    assert verdicts(gates) == {"golden": False, "p50_ms": True}
    assert gates[0].reason == "values of logits: 9.00 steps off on average (<= 1)"


def test_of_several_threads_the_fastest_counts_unless_a_number_is_given(tmp_path: Path) -> None:
    both = measurement(20, threads=(1, 4))
    assert budget.passed(check(tmp_path, "[[budget]]\np50_ms = 10", both))
    gates = check(tmp_path, "[[budget]]\nthreads = 1\np50_ms = 10", both)
    assert [(gate.passed, gate.threads) for gate in gates] == [(True, 1), (False, 1)]


def test_a_sustained_run(tmp_path: Path) -> None:
    minutes = [{"minute": i + 1, "n": 9, "p50_ms": 10.0 + i, "p90_ms": 12.0, "p99_ms": 13.0} for i in range(2)]
    warm = measurement(10, row={"sustained": {"minutes": minutes, "drop_percent": 10.0}})
    assert [check(tmp_path, f"[[budget]]\ndrop_percent = {n}", warm)[1].passed for n in (5, 10)] == [False, True]


def test_every_entry_that_fits_counts(tmp_path: Path) -> None:
    text = '[[budget]]\np50_ms = 100\n[[budget]]\nmodel = "onenet-*"\np50_ms = 1\n'
    assert [gate.passed for gate in check(tmp_path, text, measurement(20)) if gate.name == "p50_ms"] == [True, False]


def test_a_cell_that_could_not_be_measured_fails_what_it_could_be_meant_by(tmp_path: Path) -> None:
    lost = failure_document("x.tflite", "ssh:pi", ToolError("the device went away"))
    known = failure_document(measurement().artifact, "ssh:pi", ToolError("the device went away"))
    text = '[[budget]]\ndevice = "ssh:*"\nprecision = "fp16"\np50_ms = 9'
    assert [gate.reason for gate in check(tmp_path, text, failures=[lost])] == ["not measured: ToolError: the device went away"]
    assert "nothing fits" in check(tmp_path, text, failures=[known])[0].reason
    assert "nothing fits" in check(tmp_path, text.replace("ssh:*", "adb"), failures=[lost])[0].reason


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "it holds no [[budget]]"),
        ("budget = []", "budget"),
        ("[budget]\np50_ms = 3", "budget: Input should be a valid list"),
        ("[[budget]]\np50 = 3", "p50 is not known in [[budget]] 1; supported: device, model, target, precision, runtime, thr"),
        ("[[budget]]\n[[budget]]\n'<b>' = 3", "<b> is not known in [[budget]] 2"),
        ("[[limit]]\np50_ms = 3", "limit is not known; supported: budget (write [[budget]])"),
        ("[[budget]]\np50_ms = 'fast'", "p50_ms in [[budget]] 1: Input should be a valid number"),
        ("[[budget]]\np50_ms = true", "p50_ms in [[budget]] 1: Input should be a valid number"),
        ("[[budget]]\np50_ms = nan", "p50_ms in [[budget]] 1: Input should be a finite number"),
        ("[[budget]]\nthreads = 0", "threads in [[budget]] 1: Input should be greater than or equal to 1"),
        ("[[budget]\n", "is not TOML"),
        ("\udcff", "is not TOML"),
    ],
)
def test_budgets_that_are_none(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "budget.toml").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(RequestError) as caught:
        budget.read(tmp_path / "budget.toml")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="cannot be read: No such file"):
        budget.read(tmp_path / "none.toml")
    with pytest.raises(RequestError, match="cannot be read: Is a directory"):
        budget.read(tmp_path)
