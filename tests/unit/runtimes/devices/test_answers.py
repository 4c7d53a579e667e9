"""What a device sent is held to the records' limits, and the first thing that is wrong is said in one line."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from onenet.runtimes.agent.records import DeviceInfo, Parity, Round
from onenet.runtimes.devices.answers import read_as

ROUND = {"load_ms": 1, "first_ms": 1.5, "warmup_runs": 0, "samples_ms": [2]}
FAILED = {"name": "a", "passed": False, "detail": ""}


def test_a_record_comes_back_as_it_was() -> None:
    info = DeviceInfo("ssh:pi", "ssh", cores=4, features=["asimd"])
    assert read_as(DeviceInfo, asdict(info)) == info
    assert read_as(Round, ROUND).samples_ms == [2.0]


def test_text_is_made_one_printable_line() -> None:
    assert read_as(DeviceInfo, {"name": "a\n\x1b[31mb", "kind": "ssh"}).name.isprintable()


@pytest.mark.parametrize(
    ("kind", "content", "text"),
    [
        (DeviceInfo, {"name": "a"}, "kind: Field required"),
        (DeviceInfo, {"name": "a", "kind": "b", "cores": 0}, "cores: "),
        (DeviceInfo, {"name": "a", "kind": "b", "more": 0}, "more: "),
        (DeviceInfo, {"name": "x" * 2001, "kind": "b"}, "name: "),
        (DeviceInfo, {"name": "a", "kind": "b", "features": ["a"] * 51}, "features: "),
        (Round, {**ROUND, "load_ms": float("inf")}, "load_ms: "),
        (Round, {**ROUND, "first_ms": -1}, "first_ms: "),
        (Round, {**ROUND, "samples_ms": []}, "samples_ms: "),
        (Parity, {"passed": True, "where": "moon", "checks": []}, "where: "),
        (
            Parity,
            {"passed": True, "where": "host", "checks": [{"name": "a", "passed": False, "detail": ""}]},
            "a check that failed",
        ),
        (Round, [], "Input should be"),
    ],
)
def test_what_is_wrong_is_said(kind: type[object], content: object, text: str) -> None:
    with pytest.raises(ValueError, match=text) as caught:
        read_as(kind, content)
    assert "\n" not in str(caught.value)
