"""What a machine says of itself, read from trees like those of a Raspberry Pi, a laptop and an emulator."""

from __future__ import annotations

from pathlib import Path

import pytest

from onenet.runtimes.agent import machine

PI = {
    "proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd crc32\nCPU part\t: 0xd08\n\nModel\t\t: Raspberry Pi 4 Model B\n",
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.5\0",
    "sys/devices/system/cpu/modalias": "cpu:type:aarch64:feature:,0000",
    "sys/class/thermal/thermal_zone0/temp": "48200\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1500000\n",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": "600000\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
}
LAPTOP = {
    "proc/cpuinfo": "processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu avx2 avx512_vnni hypervisor\n",
    "sys/devices/system/cpu/modalias": "cpu:type:x86,ven0002fam0019mod0001:feature:,0000",
    "sys/class/power_supply/AC/type": "Mains",
    "sys/class/power_supply/AC/online": "0",
    "sys/class/power_supply/BAT0/type": "Battery",
    "sys/class/power_supply/BAT0/capacity": "71",
    "sys/class/thermal/thermal_zone0/temp": "not a number",
}


def pretend(tree: dict[str, str], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in tree.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(machine, "PROC", tmp_path / "proc")
    monkeypatch.setattr(machine, "SYS", tmp_path / "sys")
    monkeypatch.setattr(machine.platform, "machine", lambda: kind)


def test_a_raspberry_pi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(PI, "aarch64", tmp_path, monkeypatch)
    found, state = machine.identity("local", "local"), machine.state(0.0)
    assert (found.model, found.cpu, found.features) == ("Raspberry Pi 4 Model B", "Cortex-A72", ["asimd"])
    assert state.temperature_c == {"cpu-thermal": 48.2}
    assert state.frequency_mhz == [1500.0, 600.0]
    assert state.throttled == "under-voltage, throttled"
    cautions = machine.cautions(found, state, state, 50.0)
    assert [each.name for each in cautions] == ["busy", "powersave", "throttled"]


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("0", "no"),
        ("0x0", "no"),
        ("80000", "soft temperature limit since the start"),
        ("50000", "under-voltage since the start, throttled since the start"),
        ("50001", "under-voltage, throttled since the start"),
    ],
)
def test_the_firmware_s_word(word: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend({"sys/devices/platform/soc/soc:firmware/get_throttled": word}, "aarch64", tmp_path, monkeypatch)
    assert machine.throttled() == says


@pytest.mark.parametrize("word", ["", "none", "0x", "5000000000"])
def test_a_word_that_is_none_says_nothing(word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend({"sys/devices/platform/soc/soc:firmware/get_throttled": word}, "aarch64", tmp_path, monkeypatch)
    assert machine.throttled() is None


def test_a_laptop_on_battery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(LAPTOP, "x86_64", tmp_path, monkeypatch)
    found, state = machine.identity("local", "local"), machine.state(0.0)
    assert found.cpu == "Some CPU"
    assert found.features == ["avx2", "avx512_vnni"]
    assert found.virtual is True
    assert found.emulated is None
    assert (state.power, state.battery_percent) == ("battery", 71.0)
    assert state.temperature_c == {}
    assert [each.name for each in machine.cautions(found, state, state, 3.0)] == ["battery"]


@pytest.mark.parametrize(
    ("kernel", "program", "emulated"),
    [
        ("x86,ven0002", "aarch64", "emulated on x86"),
        ("x86,ven0002", "armv7l", "emulated on x86"),
        ("aarch64:feature", "x86_64", "emulated on aarch64"),
        ("aarch64:feature", "aarch64", None),
        ("aarch64:feature", "armv7l", None),
        ("v7l:feature", "armv7l", None),
        ("x86,ven0002", "i686", None),
        ("x86,ven0002", "x86_64", None),
    ],
)
def test_an_emulator_hides_the_program_s_processor_only(
    kernel: str, program: str, emulated: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend({"sys/devices/system/cpu/modalias": f"cpu:type:{kernel}"}, program, tmp_path, monkeypatch)
    assert machine.emulated() == emulated


def test_a_machine_that_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend({}, "mips", tmp_path, monkeypatch)
    found, state = machine.identity("local", "local"), machine.state(0.0)
    assert found.emulated is None
    assert (state.governor, state.throttled, state.power) == (None, None, None)
    assert machine.busy_percent(0.01) is None
    assert machine.cautions(found, state, state, None) == []


def test_busy_is_what_others_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend({"proc/stat": "cpu  100 0 100 700 100 0 0 0 0 0\n"}, "x86_64", tmp_path, monkeypatch)
    assert machine.ticks() == (200, 1000)


def test_here() -> None:
    found = machine.identity("local", "local")
    assert found.cores >= 1
    assert found.machine
    assert machine.state(0.0).seconds > 0
