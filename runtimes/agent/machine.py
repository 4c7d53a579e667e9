"""What a machine says of itself, and in what state it is: what a measured time depends on. Linux and macOS; no packages.

Everything is read from files that any user may read (/proc, /sys) and asked of ``vcgencmd`` on a Raspberry Pi whose kernel does
not say it. What a machine does not say is None, or missing.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from onenet.base.host import all_cores
from onenet.runtimes.agent.records import Caution, DeviceInfo, State

PROC, SYS = Path("/proc"), Path("/sys")
FEATURES = (
    *("avx2", "fma", "avx512f", "avx512bw", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8"),  # x86
    *("neon", "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sme"),  # ARM
)
"""Abilities of a processor that decide which kernels a runtime picks."""
THROTTLED = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
"""Bits of the Raspberry Pi firmware's word (documentation of ``vcgencmd get_throttled``); the same + 16: since the start."""
BUSY_PERCENT, WATCH_SECONDS = 10.0, 0.25
"""More of the processor time in use by others than this is too much; how long is watched."""


def identity(name: str, kind: str) -> DeviceInfo:
    """This machine, as the device that the user named so."""
    first = cpu_entries()
    flags = first.get("flags", first.get("Features", "")).split()
    return DeviceInfo(
        name,
        kind,
        model=model(first),
        cpu=processor(first),
        cores=all_cores(),
        memory_bytes=memory_bytes(),
        system=f"{platform.system()} {platform.release()}",
        machine=platform.machine(),
        libc=" ".join(platform.libc_ver()).strip() or None,
        python=platform.python_version(),
        features=[each for each in FEATURES if each in flags],
        emulated=emulated(),
        virtual="hypervisor" in flags if flags else None,
    )


def cpu_entries() -> dict[str, str]:
    """What /proc/cpuinfo says of the first processor, and at its end of all (the model of a Raspberry Pi)."""
    return pairs(read(PROC / "cpuinfo") or "")


def pairs(text: str) -> dict[str, str]:
    """Lines ``key : value``, the first of each key."""
    found = [(key.strip(), value.strip()) for key, colon, value in (line.partition(":") for line in text.splitlines()) if colon]
    return dict(reversed(found))


def model(entries: dict[str, str]) -> str:
    """What the board or the computer is called."""
    places = (PROC / "device-tree/model", SYS / "class/dmi/id/product_name")
    found = [entries.get("Model"), *map(read, places), command("sysctl", "-n", "hw.model")]
    return next((each.strip("\0 \n") for each in found if each), "unknown")


ARM_CORES = {
    "0xd03": "Cortex-A53",
    "0xd04": "Cortex-A35",
    "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57",
    "0xd08": "Cortex-A72",
    "0xd09": "Cortex-A73",
    "0xd0a": "Cortex-A75",
    "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1",
    "0xd0d": "Cortex-A77",
    "0xd41": "Cortex-A78",
    "0xd44": "Cortex-X1",
    "0xd46": "Cortex-A510",
    "0xd47": "Cortex-A710",
    "0xd48": "Cortex-X2",
}
"""Part numbers of ARM's own cores (MIDR_EL1), in Raspberry Pis, phones and servers."""


def processor(entries: dict[str, str]) -> str:
    """The CPU's name from /proc/cpuinfo, the table of ARM cores or macOS; "unknown" where none tells."""
    part = entries.get("CPU part")
    found = [entries.get("model name"), ARM_CORES.get(part or "", part), command("sysctl", "-n", "machdep.cpu.brand_string")]
    return next((each for each in found if each), platform.processor() or "unknown")


def memory_bytes() -> int | None:
    """Physical memory in bytes; None where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def emulated() -> str | None:
    """On what this program is emulated; None where it is not."""
    program_is_x86 = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")
    return emulated_on(read(SYS / "devices/system/cpu/modalias") or "", program_is_x86)


def emulated_on(modalias: str, program_is_x86: bool) -> str | None:
    """On what, where a program's processor is not the kernel's: a user-mode emulator such as qemu's hides the first only.

    The kernel writes ``cpu:type:`` and x86, aarch64, or a version of 32-bit ARM such as v7l (linux/cpufeature.h).
    """
    found = re.match("cpu:type:([a-z0-9]+)", modalias)
    if found is None:
        return None
    return f"emulated on {found.group(1)}" if found.group(1).startswith("x86") != program_is_x86 else None


def state(start: float) -> State:
    """This machine now. ``start``: ``time.monotonic()`` when the measurement began."""
    supply = power()
    return State(
        seconds=round(time.monotonic() - start, 3),
        load=load(),
        temperature_c=temperatures(),
        frequency_mhz=frequencies(),
        governor=read(SYS / "devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        throttled=throttled(),
        power=supply.source,
        battery_percent=supply.battery_percent,
    )


def load() -> float | None:
    """Load average of the last minute; None on systems without one."""
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        return None


def temperatures() -> dict[str, float]:
    """Celsius by thermal zone. A zone that fails to answer, as some do, is left out."""
    found = {}
    for zone in sorted(SYS.glob("class/thermal/thermal_zone*")):
        kind, value = read(zone / "type") or zone.name, number(read(zone / "temp"))
        if value is not None:
            found[kind if kind not in found else f"{kind} {zone.name}"] = value / 1000
    return found


def frequencies() -> list[float]:
    """MHz now of every core."""
    files = sorted(SYS.glob("devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"))
    values = [number(read(file)) for file in files]
    return [value / 1000 for value in values if value is not None]


def throttled() -> str | None:
    """What a Raspberry Pi's firmware says; ``no`` where it says that all is well."""
    word = read(SYS / "devices/platform/soc/soc:firmware/get_throttled")
    word = word or (command("vcgencmd", "get_throttled") or "").partition("=")[2]
    if not re.fullmatch("(0x)?[0-9a-fA-F]{1,8}", word):
        return None
    bits = int(word, 16)
    now = [text for bit, text in THROTTLED.items() if bits >> bit & 1]
    before = [f"{text} since the start" for bit, text in THROTTLED.items() if bits >> (bit + 16) & 1 and text not in now]
    return ", ".join(now + before) or "no"


class Power(NamedTuple):
    """Where the current comes from ("mains", "battery"; None: not known), and how full the battery is."""

    source: str | None
    battery_percent: float | None


def power() -> Power:
    """What this machine says of its supply."""
    supplies = [(read(each / "type"), each) for each in sorted(SYS.glob("class/power_supply/*"))]
    online = [read(each / "online") == "1" for kind, each in supplies if kind in ("Mains", "USB")]
    charge = [number(read(each / "capacity")) for kind, each in supplies if kind == "Battery"]
    if not supplies:
        return Power(None, None)
    return Power("mains" if any(online) or not charge else "battery", charge[0] if charge else None)


def busy_percent(seconds: float = WATCH_SECONDS) -> float | None:
    """Processor time in use on the whole machine in the next moment, in percent of all cores. This process only waits."""
    before = ticks()
    time.sleep(seconds)
    after = ticks()
    if before is None or after is None or after[1] <= before[1]:
        return None
    return 100 * (after[0] - before[0]) / (after[1] - before[1])


def ticks() -> tuple[int, int] | None:
    """Used and all, since the start; proc(5): user nice system idle iowait irq softirq steal."""
    fields = (read(PROC / "stat") or "").partition("\n")[0].split()[1:9]
    values = [int(each) for each in fields if each.isdigit()]
    return (sum(values) - values[3] - values[4], sum(values)) if len(values) >= 5 else None


def cautions(device: DeviceInfo, before: State, after: State, busy: float | None = None) -> list[Caution]:
    """What makes times on a device worth less; ``docs/measuring.md`` has a remedy under each name.

    Args:
        before, after: its state at the beginning and at the end of the measurement.
        busy: percent of its processor time that others used before; None where it was not looked at.
    """
    facts = {
        "emulated": device.emulated is not None and f"{device.emulated}: times mean nothing, values do",
        "busy": busy is not None and busy > BUSY_PERCENT and f"{busy:.0f} % of the processor time was in use before the start",
        "powersave": "powersave" in (before.governor or "") and "the governor is powersave",
        "throttled": after.throttled not in (None, "no") and f"throttled: {after.throttled}",
        "battery": before.power == "battery" and "runs on battery",
    }
    return [Caution(name, str(detail)) for name, detail in facts.items() if detail]


def read(path: Path) -> str | None:
    """A short file's text; None where it is not there, or not for this user."""
    try:
        return path.read_text(errors="replace").strip()
    except (OSError, ValueError):
        return None


def number(text: str | None) -> float | None:
    """The text as a float; None for an empty text or other text."""
    try:
        return float(text) if text else None
    except ValueError:
        return None


def command(*arguments: str) -> str | None:
    """What a program prints that the system may have."""
    try:
        done = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
