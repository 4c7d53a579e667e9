"""Devices that measure artifacts: one file per kind, found by the word before the colon and imported on first use."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from onenet.errors import RequestError
from onenet.runtimes.agent.latency import Plan

KINDS = {
    "local": "this machine",
    "ssh": "ssh:[user@]host[:port], a Raspberry Pi or any Linux machine, through your own OpenSSH client",
    "adb": "adb[:serial], an Android phone, through your own adb",
    "browser": "browser[:path of chromium], a headless Chromium on this machine",
    "null": "answers without computing, for tests",
}
"""Kind -> what it is. Each is a file of this folder with ``open_device(address)``."""


def quietly(text: str) -> None:
    """Where nobody watches."""


@dataclass(frozen=True)
class Job:
    """An artifact to measure."""

    artifact: Path
    plan: Plan = field(default_factory=Plan)
    runtime: str | None = None
    """Package of the interpreter, where a device has two for a format (ai-edge-litert, tflite-runtime)."""
    say: Callable[[str], None] = quietly
    """Is told what is being done, in a few words: "pushing 1.2 MB", "measuring"."""


class Device(Protocol):
    """One device. Its methods are called one after the other, never two at once."""

    name: str
    """As the user wrote it."""
    kind: str

    def measure(self, job: Job) -> dict[str, Any]:
        """Measure, and give the document's content (see ``document.Measurement``), not validated yet.

        Raises:
            RequestError: the device cannot be asked this (an artifact that it has no runtime for, a wrong address).
            CheckError: the artifact is not one of ours.
            ToolError: the device failed, went away or did not answer in time. Nothing is left running on it.
        """
        ...

    def examine(self) -> Examination:
        """What is there, and what is missing, for ``onenet doctor``.

        Raises:
            ToolError: as ``measure``.
        """
        ...

    def set_up(self, say: Callable[[str], None]) -> None:
        """Install what ``examine`` misses, into a folder of onenet's own on the device.

        Raises:
            RequestError: this kind of device has nothing to install.
            ToolError: as ``measure``.
        """
        ...

    def clean(self) -> None:
        """Remove everything that onenet ever put on the device."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


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
    device: dict[str, Any]
    """As ``document.DeviceInfo``."""
    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        return all(each.good is not False for each in self.findings)


def described(answer: dict[str, Any], remedy: str) -> Examination:
    """What an agent's ``describe`` says, as findings. ``remedy`` installs interpreters there."""
    device, runtimes, busy = answer["device"], answer["runtimes"], answer["busy_percent"]
    emulated, state = device.get("emulated"), answer["state"]
    found = [
        Finding(
            "machine",
            name_of(device),
            None if emulated else True,
            emulated or "",
        ),
        Finding("system", f"{device['system']} {device['machine']}, {device['libc'] or 'unknown C library'}"),
        Finding("Python", f"{device['python']}, numpy {answer['numpy']}"),
        interpreter("runs .tflite", ("ai-edge-litert", "tflite-runtime"), runtimes, remedy),
        interpreter("runs .onnx", ("onnxruntime",), runtimes, remedy),
    ]
    if state.get("governor") == "powersave":
        found.append(
            Finding(
                "governor",
                "powersave",
                None,
                "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
            )
        )
    if state.get("throttled") not in (None, "no"):
        found.append(Finding("throttling", str(state["throttled"]), None, "a stronger power supply, or cooling"))
    if busy is not None and busy > 10:
        found.append(Finding("other work", f"{busy:.0f} % of the processor time", None, "stop it before measuring"))
    return Examination(device, tuple(found))


def name_of(device: dict[str, Any]) -> str:
    known = [each for each in (device["model"], device["cpu"]) if each != "unknown"]
    return ", ".join([*known, f"{device['cores']} cores"])


def interpreter(what: str, packages: tuple[str, ...], runtimes: dict[str, Any], remedy: str) -> Finding:
    found = [f"{name} {runtimes[name]['version']}" for name in packages if runtimes[name]["version"]]
    return Finding(what, ", ".join(found) or f"{packages[0]} is missing", bool(found), "" if found else remedy)


def open_device(name: str) -> Device:
    """The device of a ``--device`` option: ``KIND`` or ``KIND:ADDRESS``. Nothing is connected yet.

    Raises:
        RequestError: no such kind, or an address that cannot be one.
    """
    kind, colon, address = name.partition(":")
    if kind not in KINDS:
        supported = "; ".join(f"{each} ({what})" for each, what in KINDS.items() if each != "null")
        raise RequestError(f"device {name!a:.200} is of no known kind; supported: {supported}")
    if (colon and not address) or not address.isprintable() or address.startswith("-"):
        raise RequestError(f"device {name!a:.200} has an address that cannot be one; write {KINDS[kind].split(',')[0]}")
    device: Device = importlib.import_module(f"onenet.runtimes.devices.{kind}").open_device(address)
    return device
