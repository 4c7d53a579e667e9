"""Debian packages of any architecture and release, through apt with a state of its own: nothing is installed here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from onenet.base.files import temporary_folder
from onenet.base.text import one_line
from onenet.errors import ToolError

KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SUITE = "trixie"
SECONDS = 300.0
CONFIGURATION = """
APT::Architecture "{architecture}"; APT::Architectures {{ "{architecture}"; }};
APT::Install-Recommends "false"; APT::Sandbox::User ""; Acquire::Languages "none"; Debug::NoLocking "true";
Dir::Etc "{state}/etc"; Dir::Etc::sourcelist "{state}/etc/sources.list"; Dir::Etc::sourceparts "-";
Dir::State "{state}"; Dir::State::status "{state}/status"; Dir::Cache "{state}";
"""
LEFT_OUT = ("./usr/share/doc/*", "./usr/share/man/*", "./usr/share/locale/*")


def reason_against() -> str | None:
    """Why packages cannot be had here; None: they can, as far as can be said without asking for one."""
    missing = [tool for tool in ("apt-get", "dpkg-deb", "tar") if not shutil.which(tool)]
    if missing:
        return f"there is no {missing[0]} here"
    if not KEYS.is_file():
        return f"{KEYS} is missing (package debian-archive-keyring)"
    return None


def download(
    packages: Sequence[str], architecture: str, folder: Path, *, dependencies: bool = False, suite: str = SUITE
) -> list[Path]:
    """Fetch packages, with all that they depend on where asked, into ``folder``; the files.

    Raises:
        ToolError: there is no apt here, or it fails.
    """
    reason = reason_against()
    if reason:
        raise ToolError(f"Debian's {', '.join(packages)} cannot be fetched: {reason}")
    with temporary_folder() as state:
        environment = {"APT_CONFIG": str(configure(state, architecture, suite))}
        apt(["update"], environment)
        if dependencies:
            apt(["--yes", "--download-only", "install", *packages], environment)
        else:
            apt(["download", *packages], environment, state / "archives")
        folder.mkdir(parents=True, exist_ok=True)
        return [Path(shutil.move(each, folder / each.name)) for each in sorted((state / "archives").glob("*.deb"))]


def configure(state: Path, architecture: str, suite: str) -> Path:
    """Write a state of apt below ``state`` that touches nothing of the system's; the path of its apt.conf."""
    for each in ("etc/apt.conf.d", "etc/preferences.d", "lists/partial", "archives/partial"):
        (state / each).mkdir(parents=True)
    (state / "status").touch()
    (state / "etc/sources.list").write_text(f"deb [signed-by={KEYS}] {mirror()} {suite} main\n")
    file = state / "apt.conf"
    file.write_text(CONFIGURATION.format(architecture=architecture, state=state))
    return file


def mirror() -> str:
    """The mirror that this machine uses, or the environment's DEBIAN_MIRROR."""
    sites = apt(["indextargets", "--format", "$(SITE)"]).split()
    found = [os.environ.get("DEBIAN_MIRROR", ""), *(each for each in sites if re.search("/debian/?$", each))]
    chosen = next(filter(None, found), None)
    if chosen is None:
        raise ToolError("no Debian mirror is known here; name one in the variable DEBIAN_MIRROR")
    return chosen


def apt(arguments: list[str], environment: dict[str, str] | None = None, folder: Path | None = None) -> str:
    """The stdout of apt-get. Raises ToolError where it fails or takes longer than SECONDS."""
    try:
        done = subprocess.run(
            ["apt-get", "-qq", *arguments],
            env={**os.environ, **(environment or {})},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"apt-get {arguments[0]} took longer than {SECONDS:.0f} s") from error
    if done.returncode:
        raise ToolError(f"apt-get {arguments[0]} failed: {one_line(done.stderr or str(done.returncode))}")
    return done.stdout


def unpack(package: Path, root: Path, *members: str) -> None:
    """A package's files (``./usr/bin/...``; all of them where none is named, but documentation) into ``root``.

    Raises:
        ToolError: it is damaged, lacks a member, or the disk is full.
    """
    exclude = [f"--exclude={each}" for each in LEFT_OUT]
    command = ["tar", "-x", "-C", str(root), "--keep-directory-symlink", "--no-same-owner", *exclude, *members]
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as reader:
        done = subprocess.run(command, stdin=reader.stdout, capture_output=True, text=True, check=False)
    if done.returncode or reader.returncode:
        raise ToolError(f"{package.name} cannot be unpacked: {one_line(done.stderr or 'dpkg-deb failed')}")
