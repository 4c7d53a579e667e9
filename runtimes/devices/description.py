"""What an agent says of its machine (``describe``), as lines of ``onenet doctor``."""

from __future__ import annotations

from typing import Any

from onenet.runtimes.devices import Examination, Finding


def examination_of(answer: dict[str, Any], remedy: str) -> Examination:
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
