"""What ``onenet doctor --device`` prints: what each device is, what it has, and the command that brings what it lacks."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape

from onenet.cli import console
from onenet.errors import OneNetError
from onenet.runtimes.devices import Device, Examination, open_device

MARKS = {True: "[green]✓[/green]", False: "[red]✗[/red]", None: "[yellow]–[/yellow]"}


def run_devices(names: Sequence[str], set_up: bool = False, clean: bool = False) -> bool:
    """Print a table for each device; True if all can measure. With ``clean`` it comes first, and alone it ends there.

    Where one of several devices fails, its error is printed and the others go on.

    Raises:
        RequestError: a name is wrong; nothing was done then.
        OneNetError: the only device failed.
    """
    healthy = True
    devices = [open_device(name) for name in names]
    try:
        for device in devices:
            try:
                healthy &= treat(device, set_up, clean)
            except OneNetError as error:
                if len(devices) == 1:
                    raise
                healthy = False
                text = str(error) if device.name in str(error) else f"{device.name}: {error}"
                console.stdout().print(f"[red]✗[/red] {escape(text)}\n", soft_wrap=True)
    finally:
        for device in devices:
            device.close()
    return healthy


def treat(device: Device, set_up: bool, clean: bool) -> bool:
    """Clean, set up and examine one device, as asked; whether it can measure."""
    with console.Steps() as steps:
        if clean:
            steps.start(f"{device.name}: removing what onenet put there")
            device.clean()
        if set_up:
            device.set_up(lambda text: steps.start(f"{device.name}: {text}"))
        if clean and not set_up:
            return True
        steps.start(f"{device.name}: looking")
        found = device.examine()
    print_examination(device.name, found)
    return found.healthy


def print_examination(name: str, found: Examination) -> None:
    """Print a device's findings, and each remedy on a line of its own."""
    out = console.stdout()
    out.print(escape(name), style="bold", soft_wrap=True)
    table = console.plain_table("", "what", "found")
    for each in found.findings:
        table.add_row(MARKS[each.good], escape(each.what), escape(each.found))
    out.print(table)
    for each in found.findings:
        if each.remedy:  # whole, so that it can be copied
            out.print(f"{each.what}: {each.remedy}", soft_wrap=True, markup=False, style=None if each.good is False else "dim")
    out.print()
