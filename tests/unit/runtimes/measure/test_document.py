"""What a device sends is data: strictly what was agreed, or one line that says what is not."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from onenet.errors import CheckError
from onenet.runtimes.agent.plan import Plan
from onenet.runtimes.devices import Job, open_device
from onenet.runtimes.measure import document
from onenet.runtimes.measure.campaign import measure
from tests.null_artifact import write_null


@pytest.fixture
def content(tmp_path: Path) -> dict[str, Any]:
    found = measure(open_device("null"), Job(write_null(tmp_path / "a.null"), Plan(threads=(1, 2), runs=3)))
    return found.as_dict()


def test_a_document_survives_its_file(content: dict[str, Any], tmp_path: Path) -> None:
    made = document.validate(content, "here")
    path = tmp_path / "a.measurement.json"
    path.write_text(made.to_json())
    assert document.read(path).to_json() == made.to_json()
    assert json.loads(made.to_json()) == content


def change(content: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(content)
    *path, last = place.split(".")
    inner: Any = changed
    for each in path:
        inner = inner[int(each)] if each.isdigit() else inner[each]
    inner[last] = value
    return changed


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("schema", 2),
        ("artefact", {}),
        ("rows", []),
        ("rows.0.rounds.0.samples_ms", []),
        ("rows.0.rounds.0.samples_ms", [1.0] * 10_001),
        ("rows.0.rounds.0.load_ms", -1.0),
        ("rows.0.rounds.0.load_ms", float("nan")),
        ("rows.0.rounds.0.load_ms", float("inf")),
        ("rows.0.threads", 0),
        ("rows.0.summary.p50_ms", "fast"),
        ("device.kind", "fax"),
        ("device.model", "x" * 2001),
        ("artifact.sha256", "../../etc/passwd"),
        ("parity.passed", "perhaps"),
        ("measured", "yesterday"),
        ("warnings", [{"name": "busy"}]),
    ],
)
def test_what_was_not_agreed_is_refused_in_one_line(place: str, value: Any, content: dict[str, Any]) -> None:
    with pytest.raises(CheckError) as caught:
        document.validate(change(content, place, value), "the answer of ssh:pi")
    text = str(caught.value)
    assert text.startswith("the answer of ssh:pi is not a measurement")
    assert place.split(".")[-1] in text
    assert "\n" not in text
    assert len(text) < 500


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff\xfe", b'{"schema": 1}', b"[" * 100_000, b"1" * (17 << 20)])
def test_what_is_no_document_is_one_line(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.measurement.json"
    path.write_bytes(data)
    with pytest.raises(CheckError, match="is not a measurement"):
        document.read(path)
    with pytest.raises(CheckError, match="cannot be read"):
        document.read(tmp_path / "missing.json")


def test_texts_of_a_device_cannot_steer_a_terminal(content: dict[str, Any]) -> None:
    found = document.validate(change(content, "device.model", "Pi\x1b[31m\n\x00 4"), "here")
    assert found.device.model.isprintable()
    assert "\x1b" not in found.to_json()


def test_what_this_machine_knows_is_not_taken_from_the_device(tmp_path: Path) -> None:
    class Liar:
        name, kind = "ssh:pi", "ssh"

        def measure(self, job: Job) -> dict[str, Any]:
            answer = open_device("null").measure(job)
            answer["artifact"] = {**answer["artifact"], "file": "other.tflite"}
            answer["device"] = {"name": "local", "kind": "local"}
            answer["measured"] = "1970-01-01T00:00:00Z"
            return answer

    found = measure(Liar(), Job(write_null(tmp_path / "a.null"), Plan(runs=1)))  # type: ignore[arg-type]
    assert (found.artifact.file, found.device.name, found.device.kind) == ("a.null", "ssh:pi", "ssh")
    assert found.measured.year > 2000
