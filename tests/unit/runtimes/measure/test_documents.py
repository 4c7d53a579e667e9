"""Documents and failures from files and folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from onenet.errors import CheckError, RequestError, ToolError
from onenet.runtimes.devices.answers import read_as
from onenet.runtimes.measure.documents import FAILURE_SUFFIX, Failure, failure_document, load
from tests.unit.measured import measurement, write


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
