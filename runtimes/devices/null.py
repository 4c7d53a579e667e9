"""A device that measures nothing: what stands around devices is tested with it. ``null:TEXT`` fails with that text."""

from __future__ import annotations

from collections.abc import Callable

from onenet.errors import ToolError
from onenet.runtimes.agent.records import DeviceInfo, Interpreter, Parity, Round
from onenet.runtimes.devices import Device, DeviceKind, Examination, Job


class Null(Device):
    """A device on which every run takes one millisecond.

    Args:
        failure: text of the error that a measurement ends with; "" for none.
    """

    def __init__(self, failure: str) -> None:
        super().__init__("null", failure)
        self.failure = failure

    def measure(self, job: Job) -> dict[str, object]:
        from onenet.runtimes.agent.content import make_content, threads_row  # a card must not load what verifies artifacts
        from onenet.runtimes.artifact import manifest_of

        if self.failure:
            raise ToolError(self.failure)
        job.say("measuring")
        manifest_of(job.artifact)
        once = Round(1.0, 1.0, job.plan.warmup_runs, [1.0] * job.plan.runs)
        rows = [threads_row(threads, [once] * job.plan.rounds) for threads in job.plan.threads or (1,)]
        checked = Parity(True, "device", [])
        return make_content(job.artifact, self.info(), Interpreter("null", "1"), checked, job.plan, rows).as_dict()

    def examine(self) -> Examination:
        return Examination(self.info(), ())

    def info(self) -> DeviceInfo:
        """All that can be said of it."""
        return DeviceInfo(self.name, self.kind)

    def set_up(self, say: Callable[[str], None]) -> None:
        say("nothing to do")


KIND = DeviceKind(name="null", address="[:failure]", title="answers without computing, for tests", open=Null, visible=False)
