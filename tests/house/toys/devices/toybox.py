"""A device in this process, for whatever a runtime here opens."""

from __future__ import annotations

from onenet.base.host import version_of
from onenet.runtimes.agent import content, latency
from onenet.runtimes.agent.records import DeviceInfo, Interpreter, Round
from onenet.runtimes.devices import Device, DeviceKind, Examination, Finding, Job


class Toybox(Device):
    """Measures with the agent's parts, without a process of its own."""

    def measure(self, job: Job) -> dict[str, object]:
        from onenet.runtimes import parity
        from onenet.runtimes.artifact import open_artifact

        job.say("measuring")
        artifact = open_artifact(job.artifact)
        checked = content.parity_of(parity.check_values(artifact), "device")
        feeds = content.golden_inputs(job.artifact)

        def run() -> None:
            artifact.session.run(feeds)

        load_ms = latency.milliseconds(lambda: open_artifact(job.artifact))
        once = Round(load_ms, latency.milliseconds(run), latency.warm_up(run, job.plan), latency.sample(run, job.plan))
        runtime = Interpreter(artifact.session.runtime.name, artifact.session.runtime.version)
        rows = [content.threads_row(1, [once])]
        return content.make_content(job.artifact, self.info(), runtime, checked, job.plan, rows).as_dict()

    def examine(self) -> Examination:
        return Examination(self.info(), (Finding("numpy", version_of("numpy") or "missing"),))

    def info(self) -> DeviceInfo:
        return DeviceInfo(self.name, self.kind)


KIND = DeviceKind(
    name="toybox", title="this process, for a look", open=lambda _: Toybox("toybox"), on_this_machine=True, order=90
)
