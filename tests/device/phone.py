"""An emulated phone: Debian 13's real arm64 adbd, mksh and toybox in a tree laid out as Android's, and a private adb server."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.device import lab

DROID = Path(__file__).parent / "droid"
PACKAGES = ("adbd", "mksh", "toybox")
TOOLS = (
    *("cat", "chmod", "cp", "cut", "date", "dd", "df", "echo", "env", "false", "grep", "head", "id", "kill", "ln", "ls"),
    *("mkdir", "mv", "nproc", "ps", "pwd", "rm", "rmdir", "sed", "sha256sum", "sleep", "sort", "stat", "tail", "test"),
    *("timeout", "touch", "true", "uname", "wc"),
)
TEMPORARY = "data/local/tmp"


@dataclass(frozen=True)
class Phone:
    serial: str
    """HOST:PORT; nobody is connected to it."""
    root: Path
    """Its file system."""

    def service(self, name: str) -> Path:
        """What its ``dumpsys NAME`` prints."""
        return self.root / "system/services" / name


def reason_against() -> str | None:
    if not shutil.which("adb"):
        return "there is no adb here"
    return lab.reason_against()


def android(root: Path) -> None:
    """Lay a Debian tree with mksh and toybox out so that a shell sees Android in it."""
    programs = root / "system/bin"
    for folder in (programs, root / TEMPORARY, root / "vendor", root / "emu.fake/thermal/thermal_zone0"):
        folder.mkdir(parents=True)
    for shell in (programs / "sh", root / "usr/bin/sh"):
        shell.unlink(missing_ok=True)
        shell.symlink_to("/usr/bin/mksh")
    for tool in TOOLS:
        (programs / tool).symlink_to("/usr/bin/toybox")
    for script in ("getprop", "dumpsys"):
        shutil.copy(DROID / script, programs)
        (programs / script).chmod(0o755)
    shutil.copy(DROID / "build.prop", root / "system")
    shutil.copy(DROID / "emu.conf", root)
    shutil.copy(DROID / "cpuinfo", root / "emu.fake")
    shutil.copytree(DROID / "services", root / "system/services")
    zone = root / "emu.fake/thermal/thermal_zone0"
    (zone / "type").write_text("skin-therm\n")
    (zone / "temp").write_text("34500\n")
    (root / "etc/passwd").write_text("root:x:0:0::/:/system/bin/sh\nshell:x:2000:2000::/:/system/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nshell:x:2000:\n")


@contextlib.contextmanager
def emulated_phone(folder: Path) -> Iterator[Phone]:
    """A phone whose files lie in ``folder`` (which must not be there yet)."""
    sources = [path.read_text() for path in sorted(DROID.rglob("*")) if path.is_file() and path.parent.name != "__pycache__"]
    root = lab.copy_root(lab.arm64_root(PACKAGES, android, (*sources, Path(__file__).read_text())), folder)
    with lab.running([sys.executable, str(DROID / "serve.py"), *lab.entered(root)]) as process:
        assert process.stdout
        yield Phone(f"127.0.0.1:{process.stdout.readline().strip()}", root)


@contextlib.contextmanager
def private_adb(folder: Path) -> Iterator[None]:
    """An adb server of one's own, with keys and settings of its own; ended afterwards."""
    settings = {
        "HOME": str(folder),
        "ANDROID_USER_HOME": str(folder / ".android"),
        "ANDROID_ADB_SERVER_PORT": str(free_port()),
        "TMPDIR": str(folder),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        for name in ("ANDROID_SERIAL", "ADB_SERVER_SOCKET", "ADB_VENDOR_KEYS"):
            patch.delenv(name, raising=False)
        try:
            yield
        finally:
            subprocess.run(["adb", "kill-server"], capture_output=True, check=False, timeout=30)


def free_port() -> int:
    with socket.socket() as any_socket:
        any_socket.bind(("127.0.0.1", 0))
        return int(any_socket.getsockname()[1])


def processes_of(root: Path, name: str) -> list[int]:
    """Processes that run a program with this in its command line, and have ``root`` as their root. For asking what is left."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and name.encode() in (entry / "cmdline").read_bytes():
                found += [int(entry.name)] * ((entry / "root").readlink() == root)
    return found
