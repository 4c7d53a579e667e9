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
    json: Annotated[bool, typer.Option("--json", help="Of this machine: print one JSON document instead of a table.")] = False,
) -> None:
    """Say what this machine can export and run, or what a device can measure, and what is missing."""
    if json and (packages or device):
        raise RequestError("--json is of this machine; leave out --device and packages")
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
        healthy = run(json)
    if not healthy:
        raise typer.Exit(3)


def check_alone(device: list[str] | None, treats: bool) -> None:
    """
    Raises:
        RequestError: packages and devices together.
    """
    if device or treats:
        raise RequestError("packages are examined on this machine; leave out --device, --setup and --clean")


@dataclass(frozen=True)
class Line:
    """What was found of one need."""

    what: str
    found: dict[str, str | None]
    """Package -> version; None where it is missing."""
    wrong: tuple[str, ...]
    """Of versions that are not those that were tested, ``onnx 1.2, tested 1.3``."""

    @property
    def missing(self) -> list[str]:
        """Packages that are not installed."""
        return [name for name, has in self.found.items() if has is None]

    @property
    def detail(self) -> str:
        """What the table says."""
        if self.missing:
            return f"missing: {', '.join(self.missing)}"
        return "; ".join(self.wrong) or ", ".join(f"{name} {has}" for name, has in self.found.items())


def look(need: Need) -> Line:
    """What is installed of a need."""
    found = versions(need)
    wrong = [f"{n} {has}, tested {tested(n)}" for n, has in found.items() if has and need.pinned and not is_tested(n, has)]
    return Line(need.what, found, tuple(wrong))


def run(json: bool = False) -> bool:
    """Print the table, or JSON; True if every converter that is installed has the version that was tested."""
    lines = [look(need) for need in needs()]
    healthy = not any(line.wrong for line in lines)
    if json:
        about = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
        rows = [{"what": each.what, "found": each.found, "missing": each.missing, "wrong": list(each.wrong)} for each in lines]
        console.print_json({**about, "int8_kernels": int8_kernels(), "healthy": healthy, "needs": rows})
        return healthy
    table = console.plain_table("", "what", "found")
    for line in lines:
        mark = "[yellow]–[/yellow]" if line.missing else "[red]✗[/red]" if line.wrong else "[green]✓[/green]"
        table.add_row(mark, line.what, line.detail)
    out = console.stdout()
    out.print(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, int8 kernels: {int8_kernels()}")
    out.print(table)
    if any(line.missing for line in lines):
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
