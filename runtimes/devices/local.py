"""This machine: the agent in a process of its own, with the Python that runs onenet."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from onenet.base.files import sha256_of
from onenet.base.process import ask
from onenet.errors import RequestError
from onenet.runtimes.devices import Device, DeviceKind, Examination, Job
from onenet.runtimes.devices.description import examination_of
from onenet.runtimes.devices.pack import pack


class Local(Device):
    """The machine that runs onenet."""

    def __init__(self) -> None:
        super().__init__("local")
        self.folder = tempfile.TemporaryDirectory(prefix="onenet-")
        self.agent = Path(self.folder.name) / "onenet-agent.pyz"
        self.agent.write_bytes(pack())

    def measure(self, job: Job) -> dict[str, Any]:
        job.say("measuring")
        request = {
            "do": "measure",
            "artifact": str(job.artifact.absolute()),
            "plan": job.plan.as_dict(),
            "runtime": job.runtime,
        }
        return self.ask({**request, "sha256": sha256_of(job.artifact)}, job.plan.deadline() + 10)

    def examine(self) -> Examination:
        return examination_of(self.ask({"do": "describe"}, 120), 'pip install "onenet-export[runtime]"')

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        return ask([sys.executable, str(self.agent), "serve"], request, what="the agent on this machine", seconds=seconds)

    def set_up(self, say: Callable[[str], None]) -> None:
        del say
        raise RequestError(
            'nothing is set up on this machine by onenet; pip install "onenet-export[runtime]" brings the interpreters'
        )

    def close(self) -> None:
        self.folder.cleanup()


def open_device(address: str) -> Device:
    """
    Raises:
        RequestError: an address was given.
    """
    if address:
        raise RequestError(f"device local has no address; found {address!a:.100}")
    return Local()


KIND = DeviceKind(name="local", title="this machine", open=open_device, on_this_machine=True, order=10)
