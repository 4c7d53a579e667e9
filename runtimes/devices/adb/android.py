"""What an Android phone says of itself through a shell: one script a question, sections of its answer, and what they mean."""

from __future__ import annotations

import re
from collections.abc import Mapping

from onenet.errors import ToolError
from onenet.runtimes.agent.machine import ARM_CORES, FEATURES, emulated_on, number, pairs
from onenet.runtimes.agent.records import DeviceInfo, Round, State

Sections = Mapping[str, str]

SECTION = "onenet-section:"
CPU = "/sys/devices/system/cpu"
# Built-ins of the shell where there are many files: a phone has up to a hundred zones, and a process for each takes seconds.
ZONES = 'for z in /sys/class/thermal/thermal_zone*; do t=; v=; read -r t < $z/type; read -r v < $z/temp; echo "$v $t"; done'
IDENTITY = {
    "properties": "getprop",
    "cpuinfo": "cat /proc/cpuinfo",
    "meminfo": "cat /proc/meminfo",
    "machine": "uname -m",
    "modalias": f"cat {CPU}/modalias",
    "shell": "cat /proc/$$/cmdline",
}
STATE = {
    "battery": "dumpsys battery",
    "thermal": "dumpsys thermalservice",
    "zones": ZONES,
    "frequency": f"cat {CPU}/cpu[0-9]*/cpufreq/scaling_cur_freq",
    "governor": f"cat {CPU}/cpu[0-9]*/cpufreq/scaling_governor",
    "load": "cat /proc/loadavg",
}
EMULATORS = ("goldfish", "ranchu", "cutf_cvm", "vbox86")
"""Hardware names of Android's own emulators and of two others."""
STATUS = ("no", "light", "moderate", "severe", "critical", "emergency", "shutdown")
"""What PowerManager.getCurrentThermalStatus means, 0 to 6."""
COLDEST, HOTTEST = -40.0, 150.0
"""Celsius. Zones that are not temperatures (battery current, fan steps) give other numbers, broken ones -273."""
MOST_ZONES = 64


def script(questions: Mapping[str, str]) -> str:
    """A shell script that answers each under its name. What a phone does not have prints nothing."""
    return "; ".join(f"echo; echo {SECTION}{name}; {command} 2>/dev/null" for name, command in questions.items())


def sections(text: str) -> dict[str, str]:
    """Section name -> its text, from an answer whose sections begin with lines of SECTION and a name."""
    parts = re.split(rf"^{SECTION}(\w+)\n", text, flags=re.MULTILINE)[1:]
    return {name: content.strip() for name, content in zip(parts[::2], parts[1::2], strict=True)}


def properties(answer: Sections) -> dict[str, str]:
    """Android property -> value, from the lines ``[key]: [value]`` of getprop."""
    return dict(re.findall(r"^\[([^\]\n]+)\]: \[([^\n]*)\]$", answer.get("properties", ""), flags=re.MULTILINE))


def abi(answer: Sections) -> str:
    """The kind of program that it runs first of all: arm64-v8a, armeabi-v7a, x86_64."""
    return properties(answer).get("ro.product.cpu.abi") or "unknown"


def identity(answer: Sections, name: str, kind: str) -> DeviceInfo:
    """The phone, as the device that the user named so."""
    known = properties(answer)
    entries = pairs(answer.get("cpuinfo", ""))
    flags = entries.get("Features", "").split()
    makers = (known.get("ro.product.manufacturer", ""), known.get("ro.product.model", ""))
    memory = pairs(answer.get("meminfo", "")).get("MemTotal", "")
    cores = len(re.findall(r"^processor\s*:", answer.get("cpuinfo", ""), flags=re.MULTILINE))
    release, api = known.get("ro.build.version.release", "?"), known.get("ro.build.version.sdk", "?")
    return DeviceInfo(
        name,
        kind,
        model=" ".join(filter(None, makers)) or "unknown",
        cpu=processor(known, entries),
        cores=cores or None,
        memory_bytes=1024 * int(memory.split()[0]) if re.match(r"\d+ kB", memory) else None,
        system=f"Android {release} (API {api})",
        machine=answer.get("machine") or known.get("ro.product.cpu.abi", "unknown"),
        features=[each for each in FEATURES if each in flags],
        emulated=emulated(answer),
    )


def processor(found: Mapping[str, str], entries: Mapping[str, str]) -> str:
    """The chip's name, with its core in brackets where known; "unknown" where no property tells it."""
    chip = found.get("ro.soc.model") or entries.get("Hardware") or found.get("ro.board.platform") or "unknown"
    core = ARM_CORES.get(entries.get("CPU part", ""))
    return f"{chip} ({core})" if core else chip


def emulated(answer: Sections) -> str | None:
    """By what. Android's emulators say so in their properties; an emulator of one program hides the first processor only: the
    kernel still names its own (``machine.emulated_on``), and the emulator itself in the command line of the shell.
    """
    found = properties(answer)
    if "1" in (found.get("ro.kernel.qemu"), found.get("ro.boot.qemu")) or found.get("ro.hardware") in EMULATORS:
        return f"an Android emulator ({found.get('ro.hardware', 'qemu')})"
    if on := emulated_on(answer.get("modalias", ""), program_is_x86=False):
        return on
    return "qemu" if "qemu-" in answer.get("shell", "").partition("\0")[0] else None


def state(answer: Sections, seconds: float) -> State:
    """The phone now. ``seconds``: since the measurement began."""
    battery = pairs(answer.get("battery", ""))
    level, scale = number(battery.get("level")), number(battery.get("scale"))
    load = answer.get("load", "").split()
    return State(
        seconds=round(seconds, 3),
        load=number(load[0]) if load else None,
        temperature_c=temperatures(answer, battery),
        frequency_mhz=[float(each) / 1000 for each in answer.get("frequency", "").split() if each.isdigit()],
        governor=", ".join(sorted(set(answer.get("governor", "").split()))) or None,
        throttled=throttled(answer),
        power=power(battery),
        battery_percent=100 * level / scale if level is not None and scale else None,
    )


def temperatures(answer: Sections, battery: Mapping[str, str]) -> dict[str, float]:
    """Celsius by name: thermal zones (many phones hide them), what the thermal service knows, the battery."""
    found = {}
    for line in answer.get("zones", "").splitlines():
        value, _, kind = line.partition(" ")
        celsius = number(value)
        if celsius is not None and kind:
            found[kind] = celsius / 1000
    cached = answer.get("thermal", "").partition("Cached temperatures:")[2].partition("\nHAL")[0]
    for value, name in re.findall(r"mValue=([-\d.]+), mType=-?\d+, mName=([^,}\n]+)", cached):
        found[name] = number(value) or 0.0
    tenths = number(battery.get("temperature"))
    if tenths is not None:
        found["battery"] = tenths / 10
    plausible = {name: value for name, value in found.items() if COLDEST < value < HOTTEST and value}
    return dict(list(plausible.items())[-MOST_ZONES:])


def throttled(answer: Sections) -> str | None:
    """The thermal status of Android as a word; None where the phone does not report it."""
    status = re.search(r"Thermal Status: (\d+)", answer.get("thermal", ""))
    if not status:
        return None
    return dict(enumerate(STATUS)).get(int(status.group(1)), f"status {status.group(1)}")


def power(battery: Mapping[str, str]) -> str | None:
    """What powers the phone, as "USB" or "AC", else "battery"; None where it does not tell."""
    if not battery:
        return None
    plugged = [key.removesuffix(" powered") for key, value in battery.items() if key.endswith(" powered") and value == "true"]
    return plugged[0] if plugged else "battery"


COUNT = re.compile(r"count=(\d+)")
SUMMARY = re.compile(
    r"Inference timings in us: Init: ([\d.e+]+), First inference: ([\d.e+]+), Warmup \(avg\): [\d.e+]+, "
    r"Inference \(avg\): ([\d.e+]+)"
)
MEMORY = re.compile(r"Overall peak memory footprint \(MB\) via periodic monitoring: ([\d.e+]+)")


def benchmark_round(text: str) -> tuple[Round, int]:
    """A round from what LiteRT's ``benchmark_model`` prints, and how many inferences its one sample is the mean of.

    It prints no single times. Its statistics come twice, of the warm-up and of the measurement.

    Raises:
        ToolError: there is no summary in it.
    """
    summary, counts = SUMMARY.search(text), [int(each) for each in COUNT.findall(text)]
    if not summary or len(counts) < 2:
        raise ToolError("benchmark_model printed no line 'Inference timings in us: ...'; is the file of its version damaged?")
    init, first, mean = (float(each) / 1000 for each in summary.groups())
    peak = MEMORY.search(text)
    return Round(init, first, counts[0], [mean], round(float(peak.group(1)) * 1e6) if peak else None), counts[-1]
