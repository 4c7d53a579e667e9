"""``ssh:[user@]host[:port]``: a Raspberry Pi, or any Linux machine."""

from __future__ import annotations

import re

from onenet.errors import RequestError
from onenet.runtimes.devices import Device, DeviceKind

USER, HOST = "[A-Za-z0-9_][A-Za-z0-9_.+-]*", "[A-Za-z0-9_][A-Za-z0-9_.-]*"
ADDRESS = re.compile(rf"(?:({USER})@)?({HOST}|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?\])(?::([0-9]{{1,5}}))?")
"""[user@]host[:port]; an IPv6 address in brackets."""


def open_device(address: str) -> Device:
    """
    Raises:
        RequestError: the address cannot be one, or the user's ssh command cannot be read.
    """
    from onenet.runtimes.devices.ssh.device import Ssh

    match = ADDRESS.fullmatch(address)
    if not match or not 0 < int(match[3] or 22) < 65536:
        raise RequestError(f"device {f'ssh:{address}'!a:.200} has an address that cannot be one; write {KIND.usage}")
    user, host, port = match.groups()
    options = [*(("-l", user) if user else ()), *(("-p", port) if port else ())]
    return Ssh(address, host.strip("[]"), options)


KIND = DeviceKind(
    name="ssh",
    address=":[user@]host[:port]",
    title="a Raspberry Pi or any Linux machine, through your own OpenSSH client",
    open=open_device,
    order=20,
)
