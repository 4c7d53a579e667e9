"""What an agent says of its machine (``describe``), as lines of ``onenet doctor``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onenet.errors import ToolError
from onenet.runtimes import RUNTIMES
from onenet.runtimes.agent.messages import Description
from onenet.runtimes.agent.records import DeviceInfo
from onenet.runtimes.devices import Examination, Finding
from onenet.runtimes.devices.answers import read_as

BUSY_PERCENT = 10.0
"""More of the processor time in use by others than this is said."""


def examination_of(answer: Mapping[str, object], remedy: str, what: str) -> Examination:
    """What an agent answered to ``describe``, as findings.

    Args:
        remedy: the command that installs runtimes there.
        what: names the agent in errors.

    Raises:
        ToolError: the answer is not a description.
    """
    try:
        machine = read_as(Description, answer)
    except ValueError as error:
        raise ToolError(f"{what} gave no description of its machine: {error}") from error
    device, state, busy = machine.device, machine.state, machine.busy_percent
    lines = [
        Finding("machine", machine_name(device), None if device.emulated else True, device.emulated or ""),
        Finding("system", f"{device.system} {device.machine}, {device.libc or 'unknown C library'}"),
        Finding("Python", f"{device.python}, numpy {machine.numpy}"),
        *runtime_lines(machine.runtimes, remedy),
    ]
    if state.governor == "powersave":
        mend = "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
        lines.append(Finding("governor", "powersave", None, mend))
    if state.throttled not in (None, "no"):
        lines.append(Finding("throttling", str(state.throttled), None, "a stronger power supply, or cooling"))
    if busy is not None and busy > BUSY_PERCENT:
        lines.append(Finding("other work", f"{busy:.0f} % of the processor time", None, "stop it before measuring"))
    return Examination(device, tuple(lines))


def machine_name(device: DeviceInfo) -> str:
    """Its model, processor and cores, as far as they are known."""
    known = [each for each in (device.model, device.cpu) if each != "unknown"]
    return ", ".join([*known, f"{device.cores} cores"])


def runtime_lines(versions: Mapping[str, str | None], remedy: str) -> list[Finding]:
    """A line for each format that the agent can measure: which of its runtimes are there."""
    formats: dict[str, list[str]] = {}
    for card in RUNTIMES.cards().values():
        for suffix in card.suffixes if card.travels and card.packages else ():
            formats.setdefault(suffix, []).append(card.name)
    return [runtime_line(f"runs {suffix}", names, versions, remedy) for suffix, names in formats.items()]


def runtime_line(what: str, names: Sequence[str], versions: Mapping[str, str | None], remedy: str) -> Finding:
    """Which of several runtimes are there; one is enough."""
    there = [f"{name} {versions[name]}" for name in names if versions.get(name)]
    return Finding(what, ", ".join(there) or f"{names[0]} is missing", bool(there), "" if there else remedy)
