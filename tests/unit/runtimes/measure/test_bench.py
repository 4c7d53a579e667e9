"""``onenet.bench`` from Python: what it gives back, and what it refuses before anything is measured."""

from __future__ import annotations

from pathlib import Path

import pytest

import onenet
from onenet.errors import RequestError
from onenet.runtimes.agent.plan import Plan
from tests.null_artifact import write_null

PLAN = {"runs": 2, "rounds": 1, "threads": (1, 2)}


def test_what_was_measured_is_typed_and_readable(tmp_path: Path) -> None:
    artifact = write_null(tmp_path / "model.null")
    measured = onenet.bench(artifact, "null", plan=PLAN, out=tmp_path / "out")
    assert measured.passed
    assert [row.threads for row in measured.measurements[0].rows] == [1, 2]
    assert measured.measurements[0].plan == Plan(runs=2, rounds=1, threads=(1, 2)).as_dict()
    assert [path.name for path in measured.folder.iterdir()] == ["model.null@null.measurement.json"]
    assert "1 measurement, 0 failed" in repr(measured) and "model.null" in repr(measured)
    assert measured._repr_html_().count("<tr>") == 3


def test_a_device_that_fails_is_in_the_result(tmp_path: Path) -> None:
    artifact = write_null(tmp_path / "model.null")
    measured = onenet.bench([artifact], ["null:it <broke>"], plan=Plan(runs=1, rounds=1), out=tmp_path / "out")
    assert [failure.text for failure in measured.failures] == ["it <broke>"]
    assert "ToolError: it <broke>" in repr(measured)
    assert "it &lt;broke&gt;" in measured._repr_html_()


def test_a_budget_that_is_exceeded(tmp_path: Path) -> None:
    limits = tmp_path / "budget.toml"
    limits.write_text("[[budget]]\np50_ms = 0.5\n")
    measured = onenet.bench(write_null(tmp_path / "model.null"), "null", plan=PLAN, out=tmp_path / "out", budget=limits)
    assert not measured.passed
    assert [gate.name for gate in measured.gates if not gate.passed] == ["p50_ms"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"plan": {"speed": 1}}, "plan 'speed' is not known; supported: threads, runs"),
        ({"plan": {"runs": 0}}, "makes no measurement"),
        ({"runtimes": ["tea"]}, "runtime 'tea' is not known"),
        ({"artifacts": "none.null"}, "none.null does not exist"),
        ({"artifacts": "a.mlpackage"}, "no device that onenet measures on runs Core ML"),
    ],
)
def test_what_cannot_be_measured(tmp_path: Path, options: dict[str, object], text: str) -> None:
    given = {"artifacts": write_null(tmp_path / "model.null"), "devices": "null", "out": tmp_path / "out", **options}
    with pytest.raises(RequestError) as caught:
        onenet.bench(**given)
    assert text in str(caught.value)
