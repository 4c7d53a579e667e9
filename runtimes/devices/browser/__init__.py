"""``browser[:path of chromium]``: a headless Chromium on this machine."""

from __future__ import annotations

from onenet.errors import RequestError
from onenet.runtimes.devices import Device, DeviceKind


def open_device(address: str) -> Device:
    """
    Raises:
        RequestError: the address names no program.
    """
    from onenet.runtimes.devices.browser import host
    from onenet.runtimes.devices.browser.device import Browser

    if address and host.find(address) is None:
        raise RequestError(f"browser:{address!a:.200} names no program; write browser:/path/of/chromium, or browser alone")
    return Browser(address)


KIND = DeviceKind(
    name="browser",
    address="[:path of chromium]",
    title="a headless Chromium on this machine",
    open=open_device,
    on_this_machine=True,
    order=40,
)
