"""A device in this process, for whatever a runtime here opens."""

from __future__ import annotations

from dataclasses import asdict

from onenet.base.host import version_of
from onenet.runtimes.agent import content, latency
from onenet.runtimes.devices import Device, DeviceKind, Examination, Finding, Job


class Toybox(Device):
    """Measures with the agent's parts, without a process of its own."""

    def measure(self, job: Job) -> dict[str, object]:
        from onenet.runtimes import parity
        from onenet.runtimes.artifact import open_artifact

        job.say("measuring")
        artifact = open_artifact(job.artifact)
        checks = parity.check_values(artifact)
        feeds = content.golden_inputs(job.artifact)

        def run() -> None:
            artifact.session.run(feeds)

        once = {
            "load_ms": latency.milliseconds(lambda: open_artifact(job.artifact)),
            "first_ms": latency.milliseconds(run),
            "warmup_runs": latency.warm_up(run, job.plan),
            "samples_ms": latency.sample(run, job.plan),
        }
        verdict = {
            "passed": all(c.passed is not False for c in checks),
            "where": "device",
            "checks": [asdict(c) for c in checks],
        }
        runtime = {"name": artifact.session.runtime.name, "version": artifact.session.runtime.version}
        return content.content(
            job.artifact, {"name": self.name, "kind": self.kind}, runtime, verdict, job.plan, [content.row(1, [once])]
        )

    def examine(self) -> Examination:
        return Examination({"name": self.name, "kind": self.kind}, (Finding("numpy", version_of("numpy") or "missing"),))


KIND = DeviceKind(
    name="toybox", title="this process, for a look", open=lambda _: Toybox("toybox"), on_this_machine=True, order=90
)
