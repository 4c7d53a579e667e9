"""The Android Debug Bridge: a phone reached through the user's own adb, commands in its shell, files that arrive whole.

A command is one string for the phone's shell, whatever is done here: what comes from outside is quoted. adb's exit code is not
enough: ``adb connect`` ends with 0 when it has failed, and old phones' shells give none, so that every command prints its own
at the end.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from onenet.base.files import sha256_of, temporary_folder
from onenet.base.process import Done, converse
from onenet.base.text import one_line
from onenet.errors import RequestError, ToolError

FOLDER = "/data/local/tmp/onenet"
"""Everything on the phone lies in it, in files named by us or by their SHA-256."""
NETWORK = re.compile(r"(\[[0-9A-Fa-f:.%\w]+\]|[A-Za-z0-9][A-Za-z0-9._-]*):\d{1,5}")
"""A serial that can be connected to."""
EXIT = re.compile(r"onenet-exit:(\d+)\s*\Z")
REACHED = (b"connected to", b"already connected", b"failed to authenticate")
"""How ``adb connect`` begins where there is a phone; whether it lets this computer in is in the list of phones."""
PASSING = ("offline", "authorizing", "connecting", "unknown", "")
"""States that a phone has for a moment while it is being connected."""
COMMAND_SECONDS, CONNECT_SECONDS, PATIENCE = 60.0, 30.0, 6.0
SLOWEST = 500_000
"""Bytes per second of a push; slower than USB 1 or a bad Wi-Fi."""
ANSWER = 4 << 20
"""Bytes that a command may print: 10,000 samples have 0.1 MB."""
STATES = {
    "unauthorized": 'allow this computer in the dialog "Allow USB debugging?" on its screen',
    "offline": "unplug it and plug it in again, or run adb reconnect",
    "no permissions": "adb may not open the USB device: install your system's udev rules for Android, then adb kill-server",
}
"""What adb says of a phone that it cannot talk to -> what to do."""
REFUSED = {
    "No space left": "its storage is full: delete something there, or run onenet doctor --device {name} --clean",
    "Read-only file system": "its storage is read-only: restart it",
    "Permission denied": "{folder} is not the shell user's: adb shell rm -r {folder}, as root where root made it",
}
"""What the phone says of a file that it did not take -> what to do."""
IN_THE_WAY = "adb shell ls -l {folder} shows what is in the way"


@dataclass(frozen=True)
class Answer:
    """What a command printed in the phone's shell. Old phones send stderr as part of ``text``."""

    code: int
    text: str
    err: str


class Bridge:
    """One phone. ``name`` is for errors; ``wanted`` is its serial, HOST:PORT for one in the network, "" for the only one."""

    def __init__(self, name: str, wanted: str) -> None:
        self.name = name
        self.wanted = wanted or os.environ.get("ANDROID_SERIAL", "")
        self.serial = ""
        self.connected_here = False

    def adb(self, *arguments: str, seconds: float = COMMAND_SECONDS, hold: bool = False) -> Done:
        """Run adb with these arguments. Raises ToolError where it cannot start or takes longer than ``seconds``."""
        return converse([program(), *arguments], what=self.name, seconds=seconds, hold=hold, largest=ANSWER)

    # --- finding it -------------------------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Find the phone, connecting to it over the network where its serial is an address, and make sure that it answers.

        Raises:
            RequestError: there are several and none was named.
            ToolError: there is no adb, no phone, or it does not let this computer in.
        """
        found = self.listed()
        if NETWORK.fullmatch(self.wanted) and found.get(self.wanted, "offline") == "offline":
            self.connect_network(listed=self.wanted in found)
            found = self.listed()
        self.serial = self.choose(found)
        until = time.monotonic() + PATIENCE
        while found.get(self.serial, "") in PASSING and time.monotonic() < until:
            time.sleep(0.25)
            found = self.listed()
        state = found.get(self.serial, "gone")
        if state != "device":
            advice = next((text for key, text in STATES.items() if key in state), "see adb devices")
            raise ToolError(f"{self.name} ({self.serial!a:.100}) is {one_line(state):.100}: {advice}")

    def listed(self) -> dict[str, str]:
        """Serial -> state of every phone that adb knows."""
        done = self.adb("devices")
        if done.code:
            raise ToolError(f"adb cannot list phones: {said_by(done)}")
        lines = done.out.decode(errors="replace").partition("List of devices attached")[2].splitlines()
        parts = (line.partition("\t") for line in lines)
        return {serial: state.strip() for serial, tab, state in parts if tab}

    def connect_network(self, listed: bool) -> None:
        """Connect to a phone at HOST:PORT. Raises ToolError where adb does not reach it."""
        if listed:  # adb takes a dead connection for a live one until it is told
            self.adb("disconnect", self.wanted)
        done = self.adb("connect", self.wanted, seconds=CONNECT_SECONDS)
        if not done.out.startswith(REACHED):
            raise ToolError(f"{self.name} cannot be connected to: {said_by(done)}; is wireless debugging on, in this network?")
        self.connected_here = not listed

    def choose(self, found: Iterable[str]) -> str:
        """The serial to use. Raises ToolError where the phone is missing, RequestError where several could be meant."""
        serials = list(found)
        known = ", ".join(ascii(serial)[1:-1] for serial in serials) or "none"
        if self.wanted in serials:
            return self.wanted
        if self.wanted:
            raise ToolError(f"there is no phone {self.wanted!a:.100}; adb knows {known:.500}")
        if not serials:
            raise ToolError("adb knows no phone: plug one in with USB debugging on, or name one: --device adb:HOST:PORT")
        if len(serials) > 1:
            raise RequestError(f"adb knows {len(serials)} phones, {known:.500}; name one: --device adb:SERIAL")
        return serials[0]

    def disconnect(self) -> None:
        """From a phone that was connected to here; others stay as they are."""
        if self.connected_here:
            with contextlib.suppress(ToolError):
                self.adb("disconnect", self.serial)
        self.connected_here = False

    # --- its shell --------------------------------------------------------------------------------------------------------

    def shell(self, command: str, seconds: float = COMMAND_SECONDS, *, doing: str = "answering", hold: bool = False) -> Answer:
        """Run a command. ``hold``: its stdin stays open until it has ended, and ends with this process or the connection.

        Raises:
            ToolError: the connection broke, or it took longer than ``seconds``.
        """
        done = self.adb("-s", self.serial, "shell", f"{command}\necho onenet-exit:$?", seconds=seconds, hold=hold)
        text = done.out.decode(errors="replace").replace("\r\n", "\n")
        end = EXIT.search(text)
        if not end:
            raise self.gone(doing, done.err or "the connection ended")
        return Answer(int(end.group(1)), text[: end.start()], done.err)

    def gone(self, doing: str, said: str) -> ToolError:
        """The error for a phone that was lost at work, with the advice that fits what adb said."""
        advice = next((text for key, text in STATES.items() if key in said), "connect it and start again")
        return ToolError(f"{self.name} went away while {doing} ({said}): {advice}")

    # --- its files --------------------------------------------------------------------------------------------------------

    def push(self, files: Mapping[str, Path], known: Mapping[str, str], say: Callable[[str], None]) -> None:
        """Put files into ``FOLDER`` that are not there yet: name there -> file here. ``known``: SHA-256 known already.

        A file appears under its name when its SHA-256 was found right.

        Raises:
            ToolError: the phone has no room, does not take it, or went away.
        """
        wanted = {name: known.get(name) or sha256_of(path) for name, path in files.items()}
        made = self.shell("mkdir -p " + " ".join(sorted({f"{FOLDER}/{name}".rpartition("/")[0] for name in files})))
        if made.code:
            raise self.refused(made.text + made.err, IN_THE_WAY)
        there = self.digests(wanted)
        missing = [name for name in wanted if there[name] != wanted[name]]
        if not missing:
            return
        say(f"pushing {sum(files[name].stat().st_size for name in missing) / 1e6:.1f} MB")
        try:
            self.push_all({name: files[name] for name in missing}, wanted)
        except BaseException:  # Ctrl-C included
            with contextlib.suppress(ToolError):
                self.shell(f"cd {FOLDER} && rm -f {' '.join(f'{name}.part' for name in missing)}", 5)
            raise

    def push_all(self, files: Mapping[str, Path], wanted: Mapping[str, str]) -> None:
        """Push files as ``.part``, check their SHA-256, then rename them all. Raises ToolError where one fails."""
        for name, path in files.items():
            seconds = COMMAND_SECONDS + path.stat().st_size / SLOWEST
            done = self.adb("-s", self.serial, "push", str(path.absolute()), f"{FOLDER}/{name}.part", seconds=seconds)
            if done.code:
                raise self.refused(said_by(done))
        there = self.digests(f"{name}.part" for name in files)
        wrong = [name for name in files if there[f"{name}.part"] != wanted[name]]
        if wrong:
            raise ToolError(f"{wrong[0]} arrived on {self.name} with another SHA-256; is its storage full or damaged?")
        moved = self.shell(f"cd {FOLDER} && " + " && ".join(f"mv -f {name}.part {name}" for name in files))
        if moved.code:
            raise self.refused(moved.text + moved.err, IN_THE_WAY)

    def digests(self, names: Iterable[str]) -> dict[str, str]:
        """Name -> SHA-256 on the phone; "" where there is no such file."""
        names = list(names)
        answer = self.shell(f"cd {FOLDER} && sha256sum {' '.join(names)} 2>/dev/null")
        found = {name: digest for digest, name in re.findall(r"^([0-9a-f]{64}) [ *]?(\S+)$", answer.text, flags=re.MULTILINE)}
        if not found and not self.has("sha256sum"):
            raise ToolError(f"{self.name} has no sha256sum to check files with; Android 8 or newer has")
        return {name: found.get(name, "") for name in names}

    def has(self, program: str) -> bool:
        """Whether the phone's shell finds a program."""
        return self.shell(f"command -v {program} >/dev/null").code == 0

    def refused(self, said: str, otherwise: str = "") -> ToolError:
        """``otherwise``: what to do about a reason that is not known; where it is empty the phone is taken to be gone."""
        text = one_line(said)
        advice = next((remedy for key, remedy in REFUSED.items() if key in text), otherwise)
        if not advice:
            return self.gone("files were pushed", text)
        return ToolError(f"{self.name} did not take a file ({text}): {advice.format(name=self.name, folder=FOLDER)}")

    def pull(self, name: str) -> bytes:
        """A file's bytes.

        Raises:
            ToolError: it is not there, or the phone went away.
        """
        with temporary_folder() as scratch:
            local = scratch / "file"
            done = self.adb("-s", self.serial, "pull", f"{FOLDER}/{name}", str(local))
            if done.code:
                raise self.gone("outputs were fetched", said_by(done))
            return local.read_bytes()


def program() -> str:
    """
    Raises:
        ToolError: there is no adb.
    """
    homes = [os.environ.get(name) for name in ("ANDROID_HOME", "ANDROID_SDK_ROOT")]
    places = ["adb", *(f"{home}/platform-tools/adb" for home in homes if home)]
    found = next(filter(None, map(shutil.which, places)), None)
    if not found:
        raise ToolError("phones need adb, which is not on the PATH; apt install adb, or Android's SDK Platform-Tools")
    return found


def said_by(done: Done) -> str:
    """What adb says of a failure; it does so on either stream."""
    return done.err or one_line(done.out.decode(errors="replace").strip() or f"exit code {done.code}")
