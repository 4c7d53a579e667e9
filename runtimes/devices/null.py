"""A device that measures nothing: what stands around devices is tested with it. ``null:TEXT`` fails with that text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from onenet.errors import ToolError
from onenet.runtimes.devices import Device, DeviceKind, Examination, Job


class Null(Device):
    """A device on which every run takes one millisecond.

    Args:
        failure: text of the error that a measurement ends with; "" for none.
    """

    def __init__(self, failure: str) -> None:
        super().__init__("null", failure)
        self.failure = failure

    def measure(self, job: Job) -> dict[str, Any]:
        from onenet.runtimes.agent import content as outside  # loads numpy, which a card must not
        from onenet.runtimes.artifact import manifest_of

        if self.failure:
            raise ToolError(self.failure)
        job.say("measuring")
        manifest_of(job.artifact)
        once = {"load_ms": 1.0, "first_ms": 1.0, "warmup_runs": job.plan.warmup_runs, "samples_ms": [1.0] * job.plan.runs}
        rows = [outside.row(threads, [once] * job.plan.rounds) for threads in job.plan.threads or (1,)]
        runtime = {"name": "null", "version": "1"}
        parity = {"passed": True, "where": "device", "checks": []}
        return outside.content(job.artifact, {"name": self.name, "kind": self.kind}, runtime, parity, job.plan, rows)

    def examine(self) -> Examination:
        return Examination({"name": self.name, "kind": self.kind}, ())

    def set_up(self, say: Callable[[str], None]) -> None:
        say("nothing to do")


KIND = DeviceKind(name="null", address="[:failure]", title="answers without computing, for tests", open=Null, visible=False)
