"""This machine: the agent in a process of its own, with the Python that runs onenet."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping

from onenet.base.files import sha256_of, temporary_folder
from onenet.base.process import ask
from onenet.errors import RequestError
from onenet.runtimes.agent.messages import Request
from onenet.runtimes.devices import Device, DeviceKind, Examination, Job
from onenet.runtimes.devices.description import examination_of
from onenet.runtimes.devices.pack import pack

AGENT = "the agent on this machine"
ANSWER_SECONDS = 10.0
"""How long after its own deadline the agent may answer."""
DESCRIBE_SECONDS = 120.0


class Local(Device):
    """The machine that runs onenet."""

    def __init__(self) -> None:
        super().__init__("local")
        self.scratch = contextlib.ExitStack()
        self.agent = self.scratch.enter_context(temporary_folder()) / "onenet-agent.pyz"
        self.agent.write_bytes(pack())

    def measure(self, job: Job) -> dict[str, object]:
        job.say("measuring")
        request = Request(str(job.artifact.absolute()), job.plan, sha256_of(job.artifact), job.runtime)
        return self.ask(request.as_dict(), job.plan.deadline() + ANSWER_SECONDS)

    def examine(self) -> Examination:
        return examination_of(self.ask({"do": "describe"}, DESCRIBE_SECONDS), 'pip install "onenet-export[runtime]"', AGENT)

    def ask(self, request: Mapping[str, object], seconds: float) -> dict[str, object]:
        """The agent's answer.

        Raises:
            OneNetError: as ``process.ask``.
        """
        return ask([sys.executable, str(self.agent), "serve"], request, what=AGENT, seconds=seconds)

    def set_up(self, say: Callable[[str], None]) -> None:
        del say
        raise RequestError(
            'nothing is set up on this machine by onenet; pip install "onenet-export[runtime]" brings the interpreters'
        )

    def close(self) -> None:
        self.scratch.close()


def open_device(address: str) -> Device:
    """
    Raises:
        RequestError: an address was given.
    """
    if address:
        raise RequestError(f"device local has no address; found {address!a:.100}")
    return Local()


KIND = DeviceKind(name="local", title="this machine", open=open_device, on_this_machine=True, order=10)
