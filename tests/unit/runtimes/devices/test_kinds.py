"""The kinds of devices: a card each, found in the folder; what a device refuses that does nothing of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from onenet.errors import RequestError
from onenet.runtimes import devices
from onenet.runtimes.devices import KINDS, Device, Job, open_device, visible_kinds

TOY = """
from onenet.runtimes.devices import Device, DeviceKind

KIND = DeviceKind(name="toaster", title="a toaster", address="[:slot]", open=lambda address: Device("toaster", address))
"""


def test_the_kinds_in_their_order_and_what_help_texts_name() -> None:
    assert list(KINDS.cards()) == ["local", "ssh", "adb", "browser", "null"]
    assert [kind.usage for kind in visible_kinds()] == [
        "local",
        "ssh:[user@]host[:port]",
        "adb[:serial]",
        "browser[:path of chromium]",
    ]
    assert [kind.name for kind in KINDS.cards().values() if kind.on_this_machine] == ["local", "browser"]


def test_a_kind_is_found_by_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toaster.py").write_text(TOY)
    monkeypatch.setattr(devices, "__path__", [*devices.__path__, str(tmp_path)])
    assert open_device("toaster:2").name == "toaster:2"
    with pytest.raises(RequestError, match=r"; toaster\[:slot\] \(a toaster\)"):
        open_device("fridge")
    monkeypatch.undo()
    with pytest.raises(RequestError, match="'toaster' is of no known kind"):
        open_device("toaster")


def test_the_cards_load_nothing_heavy() -> None:
    code = "import sys; from onenet.runtimes.devices import KINDS; KINDS.cards(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"http.server", "pydantic", "PIL"} & set(done.stdout.split())


def test_a_device_of_no_abilities_refuses_what_it_cannot_do_and_lets_itself_be_closed() -> None:
    device = Device("toaster")
    with pytest.raises(RequestError, match=r"toaster cannot measure a\.onnx"):
        device.measure(Job(Path("a.onnx")))
    with pytest.raises(RequestError, match="cannot be looked at"):
        device.examine()
    with pytest.raises(RequestError, match="cannot be set up"):
        device.set_up(print)
    device.clean()
    device.close()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("fax:1", "is of no known kind; supported: local (this machine); ssh:"),
        ("ssh:", "has an address that cannot be one; write ssh:[user@]host[:port]"),
        ("ssh:-oProxyCommand=x", "has an address that cannot be one"),
        ("adb:a\nb", "has an address that cannot be one"),
        ("local:1", "device local has no address"),
        ("browser:/nowhere/chromium", "names no program"),
    ],
)
def test_a_name_that_no_device_can_have(name: str, text: str) -> None:
    with pytest.raises(RequestError) as caught:
        open_device(name)
    assert text in str(caught.value)
