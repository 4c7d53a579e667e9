"""What ``onenet doctor app.apk`` prints: each native library of a package, and whether it loads with pages of 16 kB."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape

from onenet.base.apk import PAGE, Library, libraries_of
from onenet.cli import console


def run_packages(paths: Sequence[Path]) -> bool:
    """Print a table for each package; True if every library of every one loads.

    Raises:
        RequestError: a file is no Android package; nothing was printed then.
    """
    found = [(path, libraries_of(path)) for path in paths]
    for path, libraries in found:
        print_package(path.name, libraries)
    return not any(each.problems for _, libraries in found for each in libraries)


def print_package(name: str, libraries: Sequence[Library]) -> None:
    """Print the libraries, then each problem on a line of its own."""
    out = console.stdout()
    out.print(escape(name), style="bold", soft_wrap=True)
    if not libraries:
        out.print("no native library: pages of any size\n")
        return
    table = console.plain_table("", "library", "segments", "in the package")
    for each in libraries:
        mark = "[red]✗[/red]" if each.problems else "[green]✓[/green]"
        segments = f"aligned to {each.alignment}" if each.alignment is not None else "not for 64 bits"
        place = "compressed, or not an APK" if each.offset is None else f"at {each.offset} = {each.offset / PAGE:g} pages"
        table.add_row(mark, escape(each.name), segments, place)
    out.print(table)
    for each in libraries:
        for problem in each.problems:  # whole, so that it can be copied
            out.print(f"{each.name}: {problem}", soft_wrap=True, markup=False)
    out.print()
