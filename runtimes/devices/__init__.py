"""Devices that measure artifacts: one kind a module of this folder, found by being there.

A kind's card costs nothing to import: its module, or the ``__init__`` of its package, imports what measures only when a
device is opened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from onenet.base.folder import Folder
from onenet.errors import RequestError
from onenet.runtimes.agent.plan import Plan
from onenet.runtimes.agent.records import DeviceInfo


@dataclass(frozen=True)
class DeviceKind:
    """A kind of device: the card that a module of this folder holds as ``KIND``."""

    name: str
    """What stands before the colon of ``--device``."""
    title: str
    """What it is, in a few words, for help texts: "an Android phone, through your own adb"."""
    open: Callable[[str], Device]
    """Gives the device at an address ("" for none). Nothing is connected yet. Raises RequestError for an address that cannot be
    one."""
    address: str = ""
    """How an address is written after the name, in help texts: ":[user@]host[:port]"; in brackets where it may be missing."""
    on_this_machine: bool = False
    """Devices of such kinds share this machine's processor: they take turns."""
    visible: bool = True
    """Whether help texts and error messages name it."""
    order: int = 100
    """Place in lists."""

    @property
    def usage(self) -> str:
        """How a device of this kind is named: ``ssh:[user@]host[:port]``."""
        return self.name + self.address


KINDS = Folder[DeviceKind](__name__, "KIND")
"""Name -> kind."""


def visible_kinds() -> list[DeviceKind]:
    """Those that help texts name, in order."""
    return [kind for kind in KINDS.cards().values() if kind.visible]


def say_nothing(text: str) -> None:
    """Where nobody watches."""


@dataclass(frozen=True)
class Job:
    """An artifact to measure."""

    artifact: Path
    plan: Plan = field(default_factory=Plan)
    runtime: str | None = None
    """Name of the runtime, where a device has two for a format (ai-edge-litert, tflite-runtime)."""
    say: Callable[[str], None] = say_nothing
    """Is told what is being done, in a few words: "pushing 1.2 MB", "measuring"."""


class Device:
    """One device. Its methods are called one after the other, never two at once.

    A kind implements ``measure`` and ``examine``. The other methods have defaults: nothing to install, nothing to remove,
    nothing to close.

    Args:
        kind: name of its ``DeviceKind``.
        address: as the user wrote it after the colon; "" for none.
    """

    def __init__(self, kind: str, address: str = "") -> None:
        self.kind = kind
        self.name = f"{kind}:{address}" if address else kind
        """As the user wrote it."""

    def measure(self, job: Job) -> dict[str, object]:
        """Measure an artifact.

        Returns:
            The JSON of a document's content (``records.Content``), which nobody has validated yet.

        Raises:
            RequestError: the device cannot be asked this (an artifact that it has no runtime for, a wrong address).
            CheckError: the artifact was not made by onenet.
            ToolError: the device failed, went away or did not answer in time. Nothing is left running on it.
        """
        raise RequestError(f"{self.name} cannot measure {job.artifact.name}: devices of kind {self.kind} measure nothing")

    def examine(self) -> Examination:
        """What is there, and what is missing, for ``onenet doctor``.

        Raises:
            RequestError: this kind of device cannot be looked at.
            ToolError: as ``measure``.
        """
        raise RequestError(f"{self.name} cannot be looked at: devices of kind {self.kind} do not describe themselves")

    def set_up(self, say: Callable[[str], None]) -> None:
        """Install what ``examine`` misses, into a folder of onenet's own on the device.

        Args:
            say: is told what is being done.

        Raises:
            RequestError: this kind of device has nothing to install.
            ToolError: as ``measure``.
        """
        del say
        raise RequestError(f"{self.name} cannot be set up: onenet installs nothing on devices of kind {self.kind}")

    def clean(self) -> None:
        """Remove everything that onenet ever put on the device.

        Raises:
            ToolError: as ``measure``.
        """

    def close(self) -> None:
        """Let go of the connection. Raises nothing."""


@dataclass(frozen=True)
class Finding:
    """One line of ``onenet doctor``. ``good`` None: works without it, but less well."""

    what: str
    found: str
    good: bool | None = True
    remedy: str = ""
    """A command or a sentence that mends it."""


@dataclass(frozen=True)
class Examination:
    """What ``Device.examine`` gives."""

    device: DeviceInfo
    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing is missing that a measurement needs."""
        return all(finding.good is not False for finding in self.findings)


def open_device(name: str) -> Device:
    """The device of a ``--device`` option: ``KIND`` or ``KIND:ADDRESS``. Nothing is connected yet.

    Raises:
        RequestError: no such kind, or an address that cannot be one.
    """
    prefix, colon, address = name.partition(":")
    kind = KINDS.cards().get(prefix)
    if kind is None:
        supported = "; ".join(f"{kind.usage} ({kind.title})" for kind in visible_kinds())
        raise RequestError(f"device {name!a:.200} is of no known kind; supported: {supported}")
    if (colon and not address) or not address.isprintable() or address.startswith("-"):
        raise RequestError(f"device {name!a:.200} has an address that cannot be one; write {kind.usage}")
    return kind.open(address)
