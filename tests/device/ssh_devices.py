"""Devices on emulated Raspberry Pis."""

from __future__ import annotations

import pytest

from onenet.runtimes.devices import open_device
from onenet.runtimes.devices.ssh.device import Ssh
from tests.device.pi import Pi


def device_on(pi: Pi, address: str) -> Ssh:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ONENET_SSH", pi.client)
        made = open_device(f"ssh:{address}")
    assert isinstance(made, Ssh)
    return made
