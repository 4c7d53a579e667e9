"""``onenet doctor``: what can be exported and run on this machine, what a device has, or whether an app loads everywhere."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Annotated

import typer

from onenet.cli import console
from onenet.errors import CheckError, RequestError
from onenet.runtimes import RUNTIMES
from onenet.targets import TARGETS

EXAMPLE = "onenet doctor --device ssh:pi@raspberrypi"


@dataclass(frozen=True)
class Need:
    """What one line of the table is about."""

    what: str
    packages: tuple[tuple[str, ...], ...]
    """Distributions; the first of these choices that is installed counts."""
    pinned: bool = False
    """Whether their versions must be those that were tested: converters' are, runtimes' are not."""


def needs() -> list[Need]:
    """What can be done on this machine, by the cards of targets and runtimes."""
    runtimes = [card for card in RUNTIMES.cards().values() if card.packages]
    lines = []
    for target in TARGETS.cards().values():
        checks = next((card.packages for card in runtimes if target.suffix in card.suffixes), ())  # an export runs its result
        packages = tuple(dict.fromkeys((*target.packages, *checks)))
        lines.append(Need(f"export {target.name}", (packages,), pinned=True))
    for suffix in dict.fromkeys(suffix for card in runtimes for suffix in card.suffixes):
        choices = tuple(card.packages for card in runtimes if suffix in card.suffixes)
        lines.append(Need(f"run {suffix}", choices))
    return [*lines, Need("draw previews", (("matplotlib",),))]


def command(
    packages: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[APK]...", help="Android packages instead: whether their native libraries load on phones with 16 kB pages."
        ),
    ] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(
            "--device", "-d", metavar="DEVICE", help="Look at a device instead; as in `onenet bench`. Repeat for several."
        ),
    ] = None,
    set_up: Annotated[
        bool, typer.Option("--setup", help="Install what is missing there, into a folder of onenet's own.")
    ] = False,
    clean: Annotated[bool, typer.Option("--clean", help="Remove everything that onenet ever put there.")] = False,
) -> None:
    """Say what this machine can export and run, or what a device can measure, and what is missing."""
    if packages:
        check_alone(device, set_up or clean)
        from onenet.cli import doctor_apk

        if not doctor_apk.run_packages(packages):
            raise typer.Exit(CheckError.exit_code)
        return
    if not device and (set_up or clean):
        raise RequestError(f"{'--setup' if set_up else '--clean'} is done to a device; give --device as well")
    if device:
        from onenet.cli import doctor_devices

        healthy = doctor_devices.run_devices(device, set_up, clean)
    else:
        healthy = run()
    if not healthy:
        raise typer.Exit(3)


def check_alone(device: list[str] | None, treats: bool) -> None:
    """
    Raises:
        RequestError: packages and devices together.
    """
    if device or treats:
        raise RequestError("packages are examined on this machine; leave out --device, --setup and --clean")


def run() -> bool:
    """Print the table; True if every converter that is installed has the version that was tested."""
    table = console.plain_table("", "what", "found")
    healthy, lacking = True, False
    for need in needs():
        found = versions(need)
        missing = [name for name, has in found.items() if has is None]
        lacking |= bool(missing)
        wrong = [f"{n} {has}, tested {tested(n)}" for n, has in found.items() if has and need.pinned and not is_tested(n, has)]
        healthy &= not wrong
        mark = "[yellow]–[/yellow]" if missing else "[red]✗[/red]" if wrong else "[green]✓[/green]"
        detail = f"missing: {', '.join(missing)}" if missing else "; ".join(wrong)
        table.add_row(mark, need.what, detail or ", ".join(f"{name} {has}" for name, has in found.items()))
    out = console.stdout()
    out.print(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, int8 kernels: {int8_kernels()}")
    out.print(table)
    if lacking:
        out.print(
            '\nMissing: pip install "onenet-export[export]" to convert, "onenet-export[runtime]" to run.',
            style="dim",
            markup=False,
        )
    return healthy


def versions(need: Need) -> dict[str, str | None]:
    """Each package of the first choice that is installed, or of the first, and its version; None where it is missing."""
    choices = [{name: installed(name) for name in packages} for packages in need.packages]
    return next((each for each in choices if None not in each.values()), choices[0])


def installed(package: str) -> str | None:
    """The version of an installed distribution; None where it is missing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def tested(package: str) -> str | None:
    """The version that onenet's own metadata pins, if it pins one."""
    for line in requires("onenet-export") or []:
        name, _, rest = line.partition("==")
        if name.strip() == package:
            return rest.split(";")[0].strip()
    return None


def is_tested(package: str, has: str) -> bool:
    """Whether a version is the one that onenet pins, or none is pinned."""
    pinned = tested(package)
    return pinned is None or has.split("+")[0] == pinned


def int8_kernels() -> str:
    """How this CPU multiplies int8, in words."""
    from onenet.base.host import has_vnni

    return {True: "VNNI", False: "no VNNI (onnxruntime saturates)", None: "exact"}[has_vnni()]
