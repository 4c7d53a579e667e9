"""Running other programs, and saying what is being done."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

LAST = 1500
"""Characters of what a program printed that are shown when it fails."""


class Failed(Exception):
    """A step failed; the text says what to do."""


def run(
    command: Sequence[str | Path],
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    seconds: float = 900,
) -> str:
    """What a program prints, errors included.

    Raises:
        Failed: it is missing, fails, or takes longer than ``seconds``.
    """
    words = [str(each) for each in command]
    try:
        done = subprocess.run(
            words,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError as error:
        raise Failed(f"{words[0]} is missing here; android_demo/README.md lists what the build needs") from error
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{words[0]} took longer than {seconds:.0f} s") from error
    if done.returncode:
        raise Failed(f"{' '.join(words)[:200]} failed with {done.returncode}:\n{done.stdout[-LAST:]}")
    return done.stdout


@contextmanager
def step(title: str) -> Iterator[list[str]]:
    """One line for a step: what it was, how long it took, and what the block adds to the list."""
    start, notes = time.monotonic(), list[str]()
    print(f"{title} ...", end="", flush=True)
    try:
        yield notes
    except BaseException:
        print(" failed", flush=True)
        raise
    print(f" {'; '.join(notes) or 'done'} ({time.monotonic() - start:.0f} s)", flush=True)


def main_or_message(main: object) -> None:
    """Run a program; where a step fails, one message and exit code 3."""
    try:
        main()  # type: ignore[operator]
    except Failed as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(3) from error
