"""arm64 devices on a machine that is none: trees of Debian packages, run by qemu in namespaces of their own, without root.

Trees are built once into the user's cache and copied for use. qemu is Debian 13's (10.0): Debian 12's 7.2 gives wrong int8
results in LiteRT, silently. Emulation is 60 to 300 times slower than a device: tests assert numbers, never times.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from onenet.errors import ToolError
from onenet.runtimes.devices.native import debian

ENTER = Path(__file__).with_name("emu-enter")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "onenet-lab"
"""Looked up once: tests give programs another HOME."""
MERGED = ("bin", "sbin", "lib")
"""Links into usr, which packages expect before they are unpacked."""


@functools.cache
def reason_against() -> str | None:
    """Why arm64 programs cannot be run here; None: they can."""
    if sys.platform != "linux":
        return "emulated devices need Linux"
    if reason := debian.reason_against():
        return reason
    if not shutil.which("unshare"):
        return "there is no unshare here (package util-linux)"
    # A user namespace has a binfmt_misc of its own from Linux 6.7.
    trial = "mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc"
    command = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "sh", "-c", trial]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    if done.returncode:
        return f"no binfmt_misc in a user namespace here: {done.stderr.strip()[-200:]}"
    try:
        qemu()
    except ToolError as error:
        return str(error)
    return None


def made_once(recipe: Sequence[str], make: Callable[[Path], None]) -> Path:
    """A folder of the cache that ``make`` fills, the first time that its recipe is asked for. Never written afterwards."""
    folder = CACHE / hashlib.sha256("\0".join(recipe).encode()).hexdigest()[:16]
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another test run may be at it
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=CACHE, ignore_cleanup_errors=True) as scratch:
                made = Path(scratch, "made")
                made.mkdir()
                make(made)
                made.rename(folder)
    return folder


def qemu() -> Path:
    """Debian 13's qemu-aarch64, one static file.

    Raises:
        ToolError: it cannot be fetched.
    """

    def make(folder: Path) -> None:
        machine = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()
        (package,) = debian.download(["qemu-user"], machine, folder)
        debian.unpack(package, folder, "./usr/bin/qemu-aarch64")
        package.unlink()

    return made_once(["qemu-user", debian.SUITE], make) / "usr/bin/qemu-aarch64"


def arm64_root(
    packages: Sequence[str],
    finish: Callable[[Path], None] | None = None,
    recipe: Sequence[str] = (),
    suite: str = debian.SUITE,
) -> Path:
    """A tree of Debian arm64 packages with all that they depend on. No maintainer script has run in it.

    Args:
        finish: changes the tree, the once that it is built.
        recipe: what ``finish`` depends on, such as its own source.

    Raises:
        ToolError: the packages cannot be had.
    """

    def make(folder: Path) -> None:
        for name in ("tmp", "proc", "dev", "sys", "etc", "root", "run", *(f"usr/{each}" for each in MERGED)):
            (folder / name).mkdir(parents=True)
        for each in MERGED:
            (folder / each).symlink_to(f"usr/{each}")
        with tempfile.TemporaryDirectory() as scratch:
            for package in debian.download(packages, "arm64", Path(scratch), dependencies=True, suite=suite):
                debian.unpack(package, folder)
        if finish:
            finish(folder)

    return made_once([suite, *packages, *recipe], make)


def copy_root(root: Path, target: Path) -> Path:
    """A tree of one's own, to write in."""
    shutil.copytree(root, target, symlinks=True)
    return target


def entered(root: Path, *command: str) -> list[str]:
    """The command that runs ``command`` inside a tree, where its programs find themselves on an arm64 machine.

    What the machine claims to be is in two places of the tree: ``emu.conf`` (shell: EMU_UID, EMU_HOME, EMU_CPU, EMU_ENV) and
    ``emu.fake`` (``cpuinfo``, ``thermal``: mounted over /proc/cpuinfo and /sys/class/thermal).
    """
    return [str(ENTER), str(qemu()), str(root), *command]


@contextmanager
def running(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A program with a pipe as its stdout; killed at the end, with all that runs in the namespaces it made."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})}
    )
    try:
        yield process
    finally:
        process.kill()  # `unshare --fork` ignores SIGTERM; its --kill-child takes the namespace along
        process.wait()
        assert process.stdout
        process.stdout.close()
