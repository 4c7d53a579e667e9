"""What the agent is asked and answers survives JSON."""

from __future__ import annotations

import json

import pytest

from onenet.runtimes.agent import messages
from onenet.runtimes.agent.plan import Plan
from onenet.runtimes.agent.records import (
    CheckInfo,
    Interpreter,
    Minute,
    OperatorList,
    Parity,
    Round,
    SustainedRun,
    TimedOperator,
)

CHECKED = Parity(True, "device", [CheckInfo("names", True, "")])
PLAN = Plan(threads=(1, 2), cores=(0,), runs=5)
MESSAGES = [
    messages.Request("a.onnx", PLAN, "0" * 64, "onnxruntime"),
    messages.Task("round", 10.0, "a.onnx", PLAN, None, 2, True),
    messages.Checked(
        Parity(True, "device", [CheckInfo("names", True, "")]), Interpreter("a", "1"), OperatorList({"CONV": 3}, 1)
    ),
    messages.Sampled(Round(1.0, 2.0, 3, [4.0], 5), 6, 7.0, 8.0),
    messages.Sustained(SustainedRun([Minute(1, 2, 3.0, 4.0, 5.0)], 0.5)),
    messages.Profiled([TimedOperator("a", "CONV", 1.0)]),
    messages.Profiled(None),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_survives_json(message: messages.Request) -> None:
    assert type(message).from_dict(json.loads(json.dumps(message.as_dict()))) == message


def test_what_is_left_out_of_a_request_keeps_its_default() -> None:
    assert messages.Request.from_dict({"do": "measure", "artifact": "a", "plan": {}}) == messages.Request("a", Plan())
