"""One command measures this machine, an emulated Raspberry Pi, an emulated phone and a browser."""

from __future__ import annotations

import contextlib
import json
import tempfile
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from onenet.cli import app
from onenet.runtimes import native
from onenet.runtimes.devices import ssh
from onenet.runtimes.native.build import build
from onenet.runtimes.report.documents import load
from tests.device import lab, phone, test_browser, test_ssh, tiny
from tests.device.pi import Pi, emulated_pi

QUICK = ["--threads", "1", "--runs", "2", "--seconds", "0", "--rounds", "1", "--timeout", "300"]


def reason_against() -> str | None:
    return lab.reason_against() or phone.reason_against() or test_browser.reason_against()


def equip(raspberry: Pi, scratch: Path) -> None:
    """Interpreters where Debian has its own packages; `onenet doctor --setup` is tested in ``test_ssh``."""
    with contextlib.closing(test_ssh.device_on(raspberry, "pi")) as device:
        found = device.look([])
    (scratch / "wheels").mkdir()
    ssh.download(ssh.packages_for("ssh:pi", found), found, scratch / "wheels")
    for wheel in (scratch / "wheels").iterdir():
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(raspberry.root / "usr/lib/python3/dist-packages")


def test_one_command_measures_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(test_browser.CACHE))
    if reason := reason_against():
        pytest.skip(reason)
    build(native.default_folder())
    artifacts = [str(tiny.artifact(target, "int8")) for target in ("tflite", "onnx")]
    with contextlib.ExitStack() as stack:
        raspberry = stack.enter_context(emulated_pi(tmp_path / "pi", "bookworm"))
        equip(raspberry, tmp_path)
        droid = stack.enter_context(phone.emulated_phone(tmp_path / "droid"))
        # Not in tmp_path, whose name is too long for the sockets of adb's server and of Chromium.
        stack.enter_context(phone.private_adb(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="o-")))))
        monkeypatch.setenv("ONENET_SSH", raspberry.client)
        devices = ["local", "ssh:pi", f"adb:{droid.serial}", "browser"]
        words = [word for device in devices for word in ("--device", device)]
        done = CliRunner().invoke(app, ["bench", *artifacts, *words, *QUICK, "--out", str(tmp_path / "out")])
        assert done.exit_code == 0, done.output
        again = CliRunner().invoke(app, ["bench", *artifacts, *words[2:6], *QUICK, "--out", str(tmp_path / "again")])
    assert "pushing" not in again.stderr
    measured = load([tmp_path / "out"]).measurements
    assert {(each.device.name, each.artifact.target) for each in measured} == {
        (device, target) for device in devices for target in ("tflite", "onnx")
    }
    assert all(each.parity.passed and each.parity.checks for each in measured)
    emulated = {each.device.kind for each in measured if each.device.emulated}
    assert (
        emulated == {"ssh", "adb"} == {each.device.kind for each in measured if "emulated" in [w.name for w in each.warnings]}
    )
    assert "emulated: times mean nothing" in done.stdout
    report = CliRunner().invoke(app, ["report", str(tmp_path / "out"), "--out", str(tmp_path / "report"), "--json"])
    assert len(json.loads(report.stdout)["measurements"]) == 8
    assert "emulated" in (tmp_path / "report/report.html").read_text()
