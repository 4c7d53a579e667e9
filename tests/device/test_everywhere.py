"""One command measures this machine, two emulated Raspberry Pis with either interpreter, an emulated phone and a browser."""

from __future__ import annotations

import contextlib
import json
import tempfile
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from onenet.cli.app import app
from onenet.runtimes.devices import native
from onenet.runtimes.devices.native.build import build
from onenet.runtimes.devices.ssh import device as ssh
from onenet.runtimes.measure.documents import load
from tests.device import chromium, lab, phone, ssh_devices, tiny
from tests.device.pi import Pi, emulated_pi

QUICK = ["--threads", "1", "--runs", "2", "--seconds", "0", "--rounds", "1", "--timeout", "300"]


def reason_against() -> str | None:
    return lab.reason_against() or phone.reason_against() or chromium.reason_against()


def equip(raspberry: Pi) -> str:
    """Interpreters where Debian has its own packages (`onenet doctor --setup` is tested in ``test_ssh``); the Pi's port.

    Their wheels are fetched once and kept beside the Pi's Debian packages.
    """
    with contextlib.closing(ssh_devices.device_on(raspberry, "pi")) as device:
        found = device.look([])
    packages = ssh.packages_for("ssh:pi", found)
    recipe = ("wheels", found.version, *found.libc, *packages)
    for wheel in lab.made_once(recipe, lambda folder: ssh.download(packages, found, folder)).iterdir():
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(raspberry.root / "usr/lib/python3/dist-packages")
    return (raspberry.folder / "known_hosts").read_text().partition("]:")[2].split()[0]


def knows(pis: list[Pi], config: Path) -> Path:
    """An ssh configuration for all of them."""
    keys = "".join(f' IdentityFile "{each.folder}/id"\n' for each in pis)
    hosts = " ".join(f'"{each.folder}/known_hosts"' for each in pis)
    config.write_text(f"Host *\n User pi\n IdentitiesOnly yes\n UserKnownHostsFile {hosts}\n{keys}")
    return config


def test_one_command_measures_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(chromium.CACHE))
    if reason := reason_against():
        pytest.skip(reason)
    build(native.default_folder())
    artifacts = [str(tiny.artifact("tflite", "fp32")), str(tiny.artifact("onnx", "int8"))]
    with contextlib.ExitStack() as stack:
        pis = [stack.enter_context(emulated_pi(tmp_path / suite, suite)) for suite in ("bookworm", "bullseye")]
        ports = [equip(each) for each in pis]
        droid = stack.enter_context(phone.emulated_phone(tmp_path / "droid"))
        # Not in tmp_path, whose name is too long for the sockets of adb's server and of Chromium.
        stack.enter_context(phone.private_adb(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="o-")))))
        monkeypatch.setenv("ONENET_SSH", f"ssh -F '{knows(pis, tmp_path / 'config')}'")
        devices = ["local", *(f"ssh:127.0.0.1:{port}" for port in ports), f"adb:{droid.serial}", "browser"]
        words = [word for device in devices for word in ("--device", device)]
        done = CliRunner().invoke(app, ["bench", *artifacts, *words, *QUICK, "--out", str(tmp_path / "out")])
        assert done.exit_code == 0, done.output
        again = CliRunner().invoke(app, ["bench", artifacts[0], *words[2:8], *QUICK, "--out", str(tmp_path / "again")])
    assert "pushing" not in again.stderr
    measured = load([tmp_path / "out"]).measurements
    assert {(each.device.name, each.artifact.target) for each in measured} == {
        (device, target) for device in devices for target in ("tflite", "onnx")
    }
    assert all(each.parity.passed and each.parity.checks for each in measured)
    warned = [each.device.kind for each in measured if "emulated" in [caution.name for caution in each.warnings]]
    assert [each.device.kind for each in measured if each.device.emulated] == warned
    assert set(warned) == {"ssh", "adb"}
    assert "emulated: times mean nothing" in done.stdout
    report = CliRunner().invoke(app, ["report", str(tmp_path / "out"), "--out", str(tmp_path / "report"), "--json"])
    assert len(json.loads(report.stdout)["measurements"]) == 10
    tflite = {each.device.name: each.runtime.name for each in measured if each.artifact.target == "tflite"}
    assert list(map(tflite.get, devices)) == [
        "ai-edge-litert",
        "ai-edge-litert",
        "tflite-runtime",
        "ai-edge-litert",
        "litertjs",
    ]
    assert "emulated" in (tmp_path / "report/report.html").read_text()
