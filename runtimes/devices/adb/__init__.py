"""``adb[:serial]``: an Android phone."""

from __future__ import annotations

from onenet.errors import RequestError
from onenet.runtimes.devices import Device, DeviceKind


def open_device(address: str) -> Device:
    """
    Raises:
        RequestError: the serial cannot be one.
    """
    from onenet.runtimes.devices.adb.device import Phone

    if address.startswith("-"):
        raise RequestError(f"adb:{address!a:.100} has a serial that cannot be one; adb devices lists them")
    return Phone(address)


KIND = DeviceKind(
    name="adb",
    address="[:serial]",
    title="an Android phone, through your own adb",
    open=open_device,
    order=30,
)
